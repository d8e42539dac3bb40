/** The target's configuration file, checked by hand: one sentence names what is wrong. */
import { CodedError } from '../core/errors.ts';

export interface TargetConfig {
  readonly volumeId: string;
  readonly volumeName: string;
  readonly instance: string;
  readonly attachmentToken: string;
  readonly iqn: string;
  /** `127.0.0.1:PORT` */
  readonly portal: string;
  /** `unix:/path` or `http://127.0.0.1:PORT` */
  readonly storeAddress: string;
  readonly replicaToken: string;
  readonly node: string;
  readonly adminSocket: string;
  /** Instances of earlier targets of this volume whose process is known dead. */
  readonly knownDead: readonly string[];
}

export class TargetConfigError extends CodedError<{ readonly code: 'badConfig' }> {
  override readonly name = 'TargetConfigError';
}

const LOOPBACK_PORTAL = /^127\.0\.0\.1:([0-9]{1,5})$/;

/** @throws TargetConfigError */
export function parseTargetConfig(text: string, path: string): TargetConfig {
  const bad = (what: string): never => {
    throw new TargetConfigError({ code: 'badConfig' }, `${path}: ${what}`);
  };
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    bad('is not JSON (cut short?)');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return bad('is not a JSON object');
  }
  const fields = parsed as Readonly<Record<string, unknown>>;
  const textOf = (name: string): string => {
    const value = fields[name];
    return typeof value === 'string' && value.length > 0 ? value : bad(`"${name}" is missing`);
  };
  const portal = textOf('portal');
  const port = Number(LOOPBACK_PORTAL.exec(portal)?.[1] ?? Number.NaN);
  if (!(port <= 65_535)) bad(`"portal" is ${portal}: only 127.0.0.1:PORT is served`);
  const knownDead = fields['knownDead'] ?? [];
  if (!Array.isArray(knownDead) || knownDead.some((id) => typeof id !== 'string')) {
    bad('"knownDead" is not a list of instance ids');
  }
  return {
    volumeId: textOf('volumeId'),
    volumeName: textOf('volumeName'),
    instance: textOf('instance'),
    attachmentToken: textOf('attachmentToken'),
    iqn: textOf('iqn'),
    portal,
    storeAddress: textOf('storeAddress'),
    replicaToken: textOf('replicaToken'),
    node: textOf('node'),
    adminSocket: textOf('adminSocket'),
    knownDead: knownDead as string[],
  };
}
