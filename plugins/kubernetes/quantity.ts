/** Sizes as Kubernetes writes them: `10Gi`, `10G`, `1.5Gi`, `1e9`; here `G` is 10^9. */

const FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** Digits, then an exponent or a suffix. */
const FORM =
  /^\+?([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE]([+-]?[0-9]{1,2})|([A-Za-z]{0,2}))$/;

/** @returns bytes, rounded up; null when it is no quantity. */
export function parseQuantity(text: string): number | null {
  const match = FORM.exec(text);
  if (match === null) return null;
  const [, digits = '', exponent, suffix = ''] = match;
  const factor = FACTORS[suffix];
  if (factor === undefined) return null;
  const scaled = exponent === undefined ? Number(digits) * factor : Number(`${digits}e${exponent}`);
  return Math.ceil(scaled);
}

/** The largest binary unit that needs no fraction. */
export function formatQuantity(bytes: number): string {
  for (const unit of ['Ti', 'Gi', 'Mi', 'Ki'] as const) {
    const factor = FACTORS[unit] ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}`;
}
