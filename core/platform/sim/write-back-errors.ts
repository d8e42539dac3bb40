/**
 * The kernel's errseq_t of a super block (lib/errseq.c): an error that nobody was told of yet is
 * told to every descriptor, also to those opened since; once told, only to those opened before.
 */
export class WriteBackErrors {
  #count = 0;
  #told = true;

  add(): void {
    if (this.#told) this.#count += 1;
    this.#told = false;
  }

  /** What a descriptor that is opened now has been told. */
  seen(): number {
    return this.#told ? this.#count : this.#count - 1;
  }

  /** @returns whether there is anything to tell a descriptor that was told `seen` so far. */
  tell(seen: number): boolean {
    if (seen === this.#count) return false;
    this.#told = true;
    return true;
  }

  /** The file system is mounted anew. */
  forget(): void {
    this.#count = 0;
    this.#told = true;
  }
}
