import type { TextPair } from './text.ts';

/** Who logs in, and where to. */
export interface Applicant {
  readonly initiatorName: string;
  /** Null in a discovery session. */
  readonly targetName: string | null;
}

export type AuthenticationStep =
  /** Answer so, and wait for the initiator's next step. */
  | { readonly kind: 'continue'; readonly answer: readonly TextPair[] }
  /** Proven; the security stage may end. */
  | { readonly kind: 'proven'; readonly answer: readonly TextPair[] }
  | { readonly kind: 'refused' };

/** One login's conversation by one method, after AuthMethod was agreed on. */
export interface Authentication {
  /** @param pairs those of the request that are not keys of the login itself. */
  step(pairs: readonly TextPair[]): AuthenticationStep;
}

/** A way to prove who one is; CHAP will be another file like `no-authentication.ts`. */
export interface AuthenticationMethod {
  /** As AuthMethod spells it. */
  readonly name: string;
  /** Nothing need be said: the initiator may leave the security stage out (§6.3.1). */
  readonly isImplicit: boolean;
  begin(applicant: Applicant): Authentication;
}
