/** Login status, class and detail as one number (RFC 7143 §11.13.5). */
export const LOGIN_STATUS = {
  success: 0x0000,
  initiatorError: 0x0200,
  authenticationFailed: 0x0201,
  notAuthorized: 0x0202,
  notFound: 0x0203,
  unsupportedVersion: 0x0205,
  tooManyConnections: 0x0206,
  missingParameter: 0x0207,
  noSuchSession: 0x020a,
  invalidDuringLogin: 0x020b,
  targetError: 0x0300,
  serviceUnavailable: 0x0301,
  outOfResources: 0x0302,
} as const;

export type LoginStatus = (typeof LOGIN_STATUS)[keyof typeof LOGIN_STATUS];
