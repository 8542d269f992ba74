/**
 * Byte-level BPE, the same as minidiff/text/tokenizer.py: a text in any language to ids. <pad>=0, <bos>=1, <eos>=2.
 * The text is normalised first, so that no white space but single spaces is left for the regular expressions below.
 */

// What Python's str.split() calls white space. JavaScript's \s lacks the first six of these and has U+FEFF.
const SPACE = /[\x1c-\x1f\x85\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;
const CHUNK = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^ \p{L}\p{N}]+| +/gu; // GPT-2's: a word with the space before it
const WORD = /[^ !-&(-/:-@[-`{-~“”„«»…–—‘]+/g; // no punctuation but an apostrophe

/** Lower case, NFC, single spaces: "Ngôi  NHÀ" typed on any keyboard is one and the same string. */
export function normalise(text) {
  const whole = text.replace(/\p{Surrogate}/gu, "?"); // halves of a pair, which UTF-8 can't hold
  return whole.toLowerCase().normalize("NFC").split(SPACE).filter(Boolean).join(" ");
}

/** The words of a text, normalised, in order, without punctuation. */
export function wordsOf(text) {
  const found = normalise(text).match(WORD) ?? [];
  return found.map((word) => word.replace(/^['’]+|['’]+$/g, "")).filter(Boolean);
}

/** The 256 bytes as the letters that stand for them in the vocabulary: GPT-2's, in which every byte can be printed. */
function byteLetters() {
  const plain = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(plain(byte) ? byte : next++));
}

const LETTERS = byteLetters();
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));

/**
 * @typedef {{text: string, word: number}} Token  text: its bytes, readable; word: the number of the word it belongs to
 * @typedef {{tokens: Token[], words: {text: string, unknown: boolean}[], unread: string}} Reading
 *   tokens: what the model reads, without <bos> and <eos>; unread: the end of the text, which it doesn't
 */
export class Tokenizer {
  /**
   * @param {{tokenizer: {vocab: Object<string, number>, merges: (string|string[])[]}, words: string[], max_tokens: number}}
   *   about
   */
  constructor(about) {
    const { vocab, merges } = about.tokenizer;
    this.maxTokens = about.max_tokens;
    this.known = new Set(about.words);
    this.pieceOf = []; // by id, in the letters of the bytes
    for (const [piece, id] of Object.entries(vocab)) this.pieceOf[id] = piece;
    this.byteIds = LETTERS.map((letter) => vocab[letter]);
    this.merges = new Map(); // a pair of ids as one number -> {rank, id}
    merges.forEach((merge, rank) => {
      const [left, right] = typeof merge === "string" ? merge.split(" ") : merge;
      this.merges.set(this.pair(vocab[left], vocab[right]), { rank, id: vocab[left + right] });
    });
    this.kept = new Map(); // chunks met before
  }

  pair(left, right) {
    return left * 0x100000 + right;
  }

  /** The ids of one chunk: of all pairs that may be joined, the one learned first is, until none is left. */
  join(chunk) {
    let ids = Array.from(new TextEncoder().encode(chunk), (byte) => this.byteIds[byte]);
    for (;;) {
      let best = null;
      for (let i = 0; i + 1 < ids.length; i++) {
        const merge = this.merges.get(this.pair(ids[i], ids[i + 1]));
        if (merge && (!best || merge.rank < best.rank)) best = { ...merge, left: ids[i], right: ids[i + 1] };
      }
      if (!best) return ids;
      const joined = [];
      for (let i = 0; i < ids.length; i++) {
        const found = ids[i] === best.left && ids[i + 1] === best.right;
        joined.push(found ? best.id : ids[i]);
        if (found) i++;
      }
      ids = joined;
    }
  }

  /** @param {string} text  @returns {number[]} all its ids, without <bos> and <eos> */
  pieces(text) {
    const clean = normalise(text);
    const ids = [];
    for (const chunk of clean ? ` ${clean}`.match(CHUNK) : []) {
      if (!this.kept.has(chunk)) {
        if (this.kept.size > 5000) this.kept.clear();
        this.kept.set(chunk, this.join(chunk));
      }
      for (const id of this.kept.get(chunk)) ids.push(id);
    }
    return ids;
  }

  /** @param {number[]} ids  @returns {string} their text; bytes that are no whole character become U+FFFD */
  decode(ids) {
    const letters = Array.from(ids.map((id) => this.pieceOf[id]).join(""));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(letters, (letter) => BYTES.get(letter)));
  }

  /**
   * @param {string[]} texts
   * @returns {{ids: BigInt64Array, mask: Uint8Array, shape: [number, number]}} (B, L), padded to the longest; mask: 1: a token
   */
  encode(texts) {
    const rows = texts.map((text) => [1, ...this.pieces(text).slice(0, this.maxTokens), 2]);
    const length = Math.max(...rows.map((row) => row.length));
    const ids = new BigInt64Array(rows.length * length);
    const mask = new Uint8Array(rows.length * length);
    rows.forEach((row, i) => {
      row.forEach((id, j) => (ids[i * length + j] = BigInt(id)));
      mask.fill(1, i * length, i * length + row.length);
    });
    return { ids, mask, shape: [rows.length, length] };
  }

  /** @param {string} text  @returns {Reading} */
  read(text) {
    const ids = this.pieces(text);
    const tokens = [];
    const words = [];
    for (const id of ids.slice(0, this.maxTokens)) {
      const raw = this.decode([id]);
      if (raw.startsWith(" ")) words.push([]);
      words.at(-1).push(id);
      // a letter cut in the middle has no text of its own: its bytes are shown
      const bytes = Array.from(this.pieceOf[id], (letter) => BYTES.get(letter).toString(16).padStart(2, "0"));
      tokens.push({ text: raw.includes("\ufffd") ? bytes.join(" ") : raw.trim() || "␣", word: words.length - 1 });
    }
    return {
      tokens,
      words: words.map((piece) => {
        const said = this.decode(piece).trim();
        return { text: said, unknown: wordsOf(said).some((word) => !this.known.has(word)) };
      }),
      unread: this.decode(ids.slice(this.maxTokens)).trim(),
    };
  }
}
