/** torch.randn of a seed, on a CPU: Mersenne Twister, and normal numbers by Box and Muller in blocks of 16. */

const N = 624;

/** The Mersenne Twister MT19937. @param {number} seed 0 to 2^32 - 1  @returns {() => number} 32 random bits a call */
export function twister(seed) {
  const state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = N;

  function renew() {
    for (let i = 0; i < N; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + 397) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  }

  return () => {
    if (at === N) renew();
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/**
 * @param {number} seed 0 to 2^31 - 1
 * @param {number} count a multiple of 16; torch draws fewer or other numbers in another order
 * @returns {Float32Array} (count,)
 */
export function randn(seed, count) {
  const bits = twister(seed);
  const numbers = Float32Array.from({ length: count }, () => (bits() & 0xffffff) / 2 ** 24); // uniform, in [0, 1)
  const turn = Math.fround(2 * Math.PI);
  for (let block = 0; block < count; block += 16) {
    for (let i = block; i < block + 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - numbers[i]));
      const angle = Math.fround(turn * numbers[i + 8]);
      numbers[i] = radius * Math.cos(angle);
      numbers[i + 8] = radius * Math.sin(angle);
    }
  }
  return numbers;
}
