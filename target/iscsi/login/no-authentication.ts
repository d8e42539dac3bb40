import type { AuthenticationMethod } from './authentication.ts';

/** AuthMethod=None: the initiator's name, and what the portal lets in, is all there is. */
export const NO_AUTHENTICATION: AuthenticationMethod = {
  name: 'None',
  isImplicit: true,
  begin: () => ({ step: () => ({ kind: 'proven', answer: [] }) }),
};
