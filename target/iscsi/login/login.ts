import { assert } from '../../../core/assert.ts';
import { KiB } from '../../../core/units.ts';
import type { Applicant, Authentication, AuthenticationMethod } from './authentication.ts';
import {
  decodeDataBytesMax,
  IRRELEVANT,
  NEGOTIATED_KEYS,
  NORMAL_SESSION_ONLY,
  NOT_UNDERSTOOD,
  REJECT,
} from './keys.ts';
import { type LoginRequest, STAGE } from './login-pdu.ts';
import {
  DEFAULT_PARAMETERS,
  LOGIN_DATA_BYTES_MAX,
  type SessionParameters,
  TARGET_DATA_BYTES_MAX,
} from './parameters.ts';
import { LOGIN_STATUS, type LoginStatus } from './status.ts';
import { decodeText, encodeText, TextGatherer, type TextPair } from './text.ts';

export interface LoginPolicy {
  readonly targetName: string;
  readonly portalGroupTag: number;
  /** In order of preference; at least one. */
  readonly methods: readonly AuthenticationMethod[];
  /** May an initiator of this name use the target now? Null: not known yet, try again. */
  admits(initiatorName: string): boolean | null;
}

export interface CompletedLogin {
  readonly kind: 'normal' | 'discovery';
  readonly initiatorName: string;
  readonly isid: string;
  readonly tsih: number;
  readonly connectionId: number;
  readonly parameters: SessionParameters;
}

export type LoginStep =
  | { readonly kind: 'answer'; readonly text: Buffer; readonly transit: boolean }
  /** The last answer is `text`, once the target has made room for the session. */
  | { readonly kind: 'complete'; readonly text: Buffer; readonly login: CompletedLogin }
  | { readonly kind: 'refuse'; readonly status: LoginStatus };

const REQUEST_COUNT_MAX = 64;
const TEXT_BYTES_MAX = 64 * KiB;
/** RFC 7143 §4.2.7.1. */
const NAME_BYTES_MAX = 223;
/** Each side declares its own (§13.12). */
const DATA_BYTES_KEY = 'MaxRecvDataSegmentLength';
const NAME_KEYS: ReadonlySet<string> = new Set([
  'InitiatorName',
  'InitiatorAlias',
  'TargetName',
  'SessionType',
]);
/** Only a target declares these. */
const TARGET_KEYS: ReadonlySet<string> = new Set([
  'TargetAlias',
  'TargetAddress',
  'TargetPortalGroupTag',
]);

/**
 * One login, from the first request to the last: requests in, steps out (RFC 7143 §6.3). After
 * `complete` or `refuse` it is over.
 */
export class Login {
  readonly #policy: LoginPolicy;
  readonly #text = new TextGatherer(TEXT_BYTES_MAX);
  readonly #names = new Map<string, string>();
  readonly #negotiated = new Set<string>();
  #first: LoginRequest | null = null;
  #requestCount = 0;
  #stage: number | null = null;
  #applicant: Applicant | null = null;
  #authentication: Authentication | null = null;
  #isProven = false;
  #hasDeclared = false;
  #parameters: SessionParameters = DEFAULT_PARAMETERS;

  constructor(policy: LoginPolicy) {
    assert(policy.methods.length > 0, 'a login has a method of authentication');
    this.#policy = policy;
  }

  /** @param data the data segment; kept until the text is whole. */
  step(request: LoginRequest, data: Buffer): LoginStep {
    const wrong = this.#checkHeader(request);
    if (wrong !== null) return refuse(wrong);
    if (!this.#text.add(data)) return refuse(LOGIN_STATUS.initiatorError);
    if (request.continues) return { kind: 'answer', text: encodeText([]), transit: false };
    const pairs = decodeText(this.#text.take());
    if (pairs === null) return refuse(LOGIN_STATUS.initiatorError);
    const answer: TextPair[] = [];
    const failed = this.#identify(pairs, answer) ?? this.#negotiate(request, pairs, answer);
    if (failed !== null) return refuse(failed);
    return this.#finish(request, answer);
  }

  #checkHeader(request: LoginRequest): LoginStatus | null {
    this.#requestCount += 1;
    if (this.#requestCount > REQUEST_COUNT_MAX) return LOGIN_STATUS.initiatorError;
    const first = this.#first;
    if (first === null) {
      this.#first = request;
      if (request.versionMin > 0) return LOGIN_STATUS.unsupportedVersion;
    } else if (
      // §11.12.9: one login, one command; these never change.
      request.isid !== first.isid ||
      request.tsih !== first.tsih ||
      request.taskTag !== first.taskTag ||
      request.connectionId !== first.connectionId
    ) {
      return LOGIN_STATUS.initiatorError;
    }
    const { currentStage, nextStage } = request;
    const isStage = currentStage === STAGE.security || currentStage === STAGE.operational;
    if (!isStage || currentStage !== (this.#stage ?? currentStage)) {
      return LOGIN_STATUS.initiatorError;
    }
    this.#stage = currentStage;
    if (!request.transit) return null;
    const isNext = nextStage === STAGE.operational || nextStage === STAGE.fullFeature;
    const isWrong = request.continues || !isNext || nextStage <= currentStage;
    return isWrong ? LOGIN_STATUS.initiatorError : null;
  }

  /** Names come with the first text; said again, they must be the same. */
  #identify(pairs: readonly TextPair[], answer: TextPair[]): LoginStatus | null {
    for (const [key, value] of pairs) {
      if (!NAME_KEYS.has(key)) continue;
      if ((this.#names.get(key) ?? value) !== value) return LOGIN_STATUS.initiatorError;
      if (Buffer.byteLength(value) > NAME_BYTES_MAX) return LOGIN_STATUS.initiatorError;
      this.#names.set(key, value);
    }
    if (this.#applicant !== null) return null;
    const initiatorName = this.#names.get('InitiatorName') ?? '';
    const sessionType = this.#names.get('SessionType') ?? 'Normal';
    const targetName = this.#names.get('TargetName') ?? null;
    if (initiatorName === '') return LOGIN_STATUS.missingParameter;
    if (sessionType === 'Discovery') {
      this.#applicant = { initiatorName, targetName: null };
      return null;
    }
    if (sessionType !== 'Normal') return LOGIN_STATUS.initiatorError;
    if (targetName === null) return LOGIN_STATUS.missingParameter;
    // Names compare without case (§4.2.7.2 prepares them so).
    if (targetName.toLowerCase() !== this.#policy.targetName.toLowerCase()) {
      return LOGIN_STATUS.notFound;
    }
    const refusal = refusalOf(this.#policy.admits(initiatorName));
    if (refusal !== null) return refusal;
    this.#applicant = { initiatorName, targetName };
    // §13.9: in the first answer of a normal session.
    answer.push(['TargetPortalGroupTag', `${this.#policy.portalGroupTag}`]);
    return null;
  }

  #negotiate(
    request: LoginRequest,
    pairs: readonly TextPair[],
    answer: TextPair[],
  ): LoginStatus | null {
    const isSecurity = request.currentStage === STAGE.security;
    const conversation: TextPair[] = [];
    for (const [key, value] of pairs) {
      if (NAME_KEYS.has(key)) continue;
      if (TARGET_KEYS.has(key)) return LOGIN_STATUS.initiatorError;
      const isKnown = isKnownKey(key);
      if (isSecurity && !isKnown && this.#authentication !== null) {
        conversation.push([key, value]);
        continue;
      }
      if (isKnown && this.#negotiated.has(key)) return LOGIN_STATUS.initiatorError;
      this.#negotiated.add(key);
      const status =
        key === 'AuthMethod'
          ? this.#chooseMethod(isSecurity, value, answer)
          : this.#negotiateKey(key, value, answer);
      if (status !== null) return status;
    }
    return this.#authenticate(isSecurity, conversation, answer);
  }

  #chooseMethod(isSecurity: boolean, offer: string, answer: TextPair[]): LoginStatus | null {
    if (!isSecurity) {
      answer.push(['AuthMethod', REJECT]);
      return null;
    }
    const offered = offer.split(',');
    const method = this.#policy.methods.find((candidate) => offered.includes(candidate.name));
    if (method === undefined) return LOGIN_STATUS.authenticationFailed;
    assert(this.#applicant !== null, 'who authenticates has said its name');
    this.#authentication = method.begin(this.#applicant);
    answer.push(['AuthMethod', method.name]);
    return null;
  }

  #authenticate(
    isSecurity: boolean,
    conversation: readonly TextPair[],
    answer: TextPair[],
  ): LoginStatus | null {
    if (this.#isProven) return null;
    if (this.#authentication === null) {
      const mayLeaveOut = this.#policy.methods.some((method) => method.isImplicit);
      if (mayLeaveOut) this.#isProven = !isSecurity;
      return isSecurity || mayLeaveOut ? null : LOGIN_STATUS.authenticationFailed;
    }
    const step = this.#authentication.step(conversation);
    if (step.kind === 'refused') return LOGIN_STATUS.authenticationFailed;
    answer.push(...step.answer);
    this.#isProven = step.kind === 'proven';
    return null;
  }

  #negotiateKey(key: string, value: string, answer: TextPair[]): LoginStatus | null {
    if (key === DATA_BYTES_KEY) {
      const initiatorDataBytesMax = decodeDataBytesMax(value);
      if (initiatorDataBytesMax === null) answer.push([key, REJECT]);
      else this.#parameters = { ...this.#parameters, initiatorDataBytesMax };
      return null;
    }
    const negotiate = Object.hasOwn(NEGOTIATED_KEYS, key) ? NEGOTIATED_KEYS[key] : undefined;
    if (negotiate === undefined) {
      answer.push([key, NOT_UNDERSTOOD]);
      return null;
    }
    if (this.#applicant?.targetName === null && NORMAL_SESSION_ONLY.has(key)) {
      answer.push([key, IRRELEVANT]);
      return null;
    }
    const { answer: text, change } = negotiate(value);
    answer.push([key, text]);
    if (change !== null) this.#parameters = { ...this.#parameters, ...change };
    return null;
  }

  #finish(request: LoginRequest, answer: TextPair[]): LoginStep {
    if (request.currentStage === STAGE.operational && !this.#hasDeclared) {
      this.#hasDeclared = true;
      answer.push([DATA_BYTES_KEY, `${TARGET_DATA_BYTES_MAX}`]);
    }
    const text = encodeText(answer);
    if (text.length > LOGIN_DATA_BYTES_MAX) return refuse(LOGIN_STATUS.initiatorError);
    if (!request.transit) return { kind: 'answer', text, transit: false };
    if (!this.#isProven && !this.#maySkipProof()) {
      // Not done with authentication: the answer stays in the stage (§6.3).
      return { kind: 'answer', text, transit: false };
    }
    this.#isProven = true;
    if (request.nextStage !== STAGE.fullFeature) {
      this.#stage = request.nextStage;
      return { kind: 'answer', text, transit: true };
    }
    return { kind: 'complete', text, login: this.#completed(request) };
  }

  /** In the security stage without a word about AuthMethod, where none is needed. */
  #maySkipProof(): boolean {
    const isImplicit = this.#policy.methods.some((method) => method.isImplicit);
    return this.#authentication === null && isImplicit;
  }

  #completed(request: LoginRequest): CompletedLogin {
    const applicant = this.#applicant;
    assert(applicant !== null, 'who completes a login has said its name');
    const { firstBurstBytes, maxBurstBytes } = this.#parameters;
    return {
      kind: applicant.targetName === null ? 'discovery' : 'normal',
      initiatorName: applicant.initiatorName,
      isid: request.isid,
      tsih: request.tsih,
      connectionId: request.connectionId,
      // §13.14: FirstBurstLength must not exceed MaxBurstLength.
      parameters: {
        ...this.#parameters,
        firstBurstBytes: Math.min(firstBurstBytes, maxBurstBytes),
      },
    };
  }
}

/** Initiators try again after "unavailable", and give up after "not authorized". */
export function refusalOf(isAdmitted: boolean | null): LoginStatus | null {
  if (isAdmitted === null) return LOGIN_STATUS.serviceUnavailable;
  return isAdmitted ? null : LOGIN_STATUS.notAuthorized;
}

/** Keys that are settled once; own ones only: `constructor` is a key name like any other. */
function isKnownKey(key: string): boolean {
  return key === 'AuthMethod' || key === DATA_BYTES_KEY || Object.hasOwn(NEGOTIATED_KEYS, key);
}

function refuse(status: LoginStatus): LoginStep {
  return { kind: 'refuse', status };
}
