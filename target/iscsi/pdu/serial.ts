/**
 * Serial number arithmetic of 32 bits (RFC 1982) on signed numbers: CmdSN, StatSN and tags wrap.
 */

/** Positive when `a` comes after `b`. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

export function next(number: number): number {
  return (number + 1) | 0;
}
