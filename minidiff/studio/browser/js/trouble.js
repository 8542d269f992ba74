/** What went wrong, as a key of texts.js, so that the page can say it in the reader's language. */

export class Trouble extends Error {
  /** @param {string} key  @param {Object<string, string|number>} [values] what is filled into its blanks */
  constructor(key, values = {}) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

/** Any error as a Trouble: WebAssembly says in several ways that its memory ran out. */
export function asTrouble(error) {
  if (error instanceof Trouble) return error;
  const said = String(error?.message ?? error);
  return new Trouble(/memory|alloc/i.test(said) ? "error_memory" : "error_unknown", { said });
}
