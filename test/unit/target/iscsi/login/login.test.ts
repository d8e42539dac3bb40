import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AuthenticationMethod } from '../../../../../target/iscsi/login/authentication.ts';
import { Login, type LoginStep } from '../../../../../target/iscsi/login/login.ts';
import type { LoginRequest } from '../../../../../target/iscsi/login/login-pdu.ts';
import { NO_AUTHENTICATION } from '../../../../../target/iscsi/login/no-authentication.ts';
import { decodeText, encodeText } from '../../../../../target/iscsi/login/text.ts';

const TARGET = 'iqn.2016-09.com.openebs:v1';
const NAMES = { InitiatorName: 'iqn.2016-09.com.openebs:node', TargetName: TARGET };
const SECURITY = 0;
const OPERATIONAL = 1;
const FULL_FEATURE = 3;

const REQUEST: LoginRequest = {
  transit: true,
  continues: false,
  currentStage: OPERATIONAL,
  nextStage: FULL_FEATURE,
  versionMin: 0,
  isid: '800000000001',
  tsih: 0,
  taskTag: 1,
  connectionId: 0,
  commandNumber: 1,
};

function newLogin(
  options: {
    readonly methods?: readonly AuthenticationMethod[];
    readonly admits?: (name: string) => boolean | null;
  } = {},
): Login {
  return new Login({
    targetName: TARGET,
    portalGroupTag: 1,
    methods: options.methods ?? [NO_AUTHENTICATION],
    admits: options.admits ?? (() => true),
  });
}

function textOf(keys: Readonly<Record<string, string>>): Buffer {
  return encodeText(Object.entries(keys));
}

function step(
  login: Login,
  keys: Readonly<Record<string, string>>,
  request: Partial<LoginRequest> = {},
): LoginStep {
  return login.step({ ...REQUEST, ...request }, textOf(keys));
}

function answersOf(done: LoginStep): Readonly<Record<string, string>> {
  if (done.kind === 'refuse') throw new Error(`refused: ${done.status.toString(16)}`);
  return Object.fromEntries(decodeText(done.text) ?? []);
}

function completed(keys: Readonly<Record<string, string>>) {
  const done = step(newLogin(), { ...NAMES, ...keys });
  if (done.kind !== 'complete') throw new Error(done.kind);
  return { login: done.login, answers: answersOf(done) };
}

describe('a login', () => {
  test('goes to the full feature phase in one step, with the defaults where nothing is said', () => {
    const { login, answers } = completed({});
    expect(answers).toEqual({
      TargetPortalGroupTag: '1',
      MaxRecvDataSegmentLength: '262144',
    });
    expect(login).toMatchObject({
      kind: 'normal',
      initiatorName: NAMES.InitiatorName,
      isid: '800000000001',
    });
    expect(login.parameters).toEqual({
      headerDigest: false,
      dataDigest: false,
      initialR2T: true,
      immediateData: true,
      maxBurstBytes: 262144,
      firstBurstBytes: 65536,
      maxOutstandingR2T: 1,
      initiatorDataBytesMax: 8192,
    });
  });

  test('goes through the security stage, one request a stage', () => {
    const login = newLogin();
    const first = step(
      login,
      { ...NAMES, AuthMethod: 'CHAP,None' },
      { currentStage: SECURITY, nextStage: OPERATIONAL },
    );
    expect(first).toMatchObject({ kind: 'answer', transit: true });
    expect(answersOf(first)).toEqual({ TargetPortalGroupTag: '1', AuthMethod: 'None' });
    const second = step(login, { HeaderDigest: 'CRC32C,None' });
    expect(second.kind).toBe('complete');
    expect(answersOf(second)).toMatchObject({ HeaderDigest: 'CRC32C' });
  });

  test('may stay in a stage for several requests', () => {
    const login = newLogin();
    expect(step(login, NAMES, { transit: false, nextStage: 0 })).toMatchObject({
      kind: 'answer',
      transit: false,
    });
    expect(answersOf(step(login, { InitialR2T: 'No' }, { transit: false, nextStage: 0 }))).toEqual({
      InitialR2T: 'No',
    });
    expect(step(login, {})).toMatchObject({
      kind: 'complete',
      login: { parameters: { initialR2T: false } },
    });
  });

  test('takes a text in pieces, cut anywhere', () => {
    const login = newLogin();
    const text = textOf({ ...NAMES, MaxBurstLength: '8192' });
    const piece = { ...REQUEST, transit: false, continues: true };
    expect(login.step(piece, text.subarray(0, 17))).toEqual({
      kind: 'answer',
      text: Buffer.alloc(0),
      transit: false,
    });
    login.step(piece, text.subarray(17, 60));
    expect(login.step(REQUEST, text.subarray(60))).toMatchObject({
      kind: 'complete',
      login: { parameters: { maxBurstBytes: 8192 } },
    });
  });

  test('of a discovery session needs no target, and burst lengths mean nothing to it', () => {
    const done = step(newLogin({ admits: () => false }), {
      InitiatorName: NAMES.InitiatorName,
      SessionType: 'Discovery',
      MaxBurstLength: '8192',
      HeaderDigest: 'None',
    });
    expect(done).toMatchObject({ kind: 'complete', login: { kind: 'discovery' } });
    expect(answersOf(done)).toEqual({
      MaxBurstLength: 'Irrelevant',
      HeaderDigest: 'None',
      MaxRecvDataSegmentLength: '262144',
    });
  });
});

describe('each key', () => {
  test.each([
    ['HeaderDigest', 'CRC32C,None', 'CRC32C', { headerDigest: true }],
    ['HeaderDigest', 'None,CRC32C', 'None', { headerDigest: false }],
    ['DataDigest', 'CRC32C', 'CRC32C', { dataDigest: true }],
    ['DataDigest', 'MD5', 'Reject', { dataDigest: false }],
    ['InitialR2T', 'No', 'No', { initialR2T: false }],
    ['InitialR2T', 'Yes', 'Yes', { initialR2T: true }],
    ['InitialR2T', 'Maybe', 'Reject', { initialR2T: true }],
    ['ImmediateData', 'No', 'No', { immediateData: false }],
    ['MaxBurstLength', '16776192', '4194304', { maxBurstBytes: 4194304 }],
    ['MaxBurstLength', '511', 'Reject', { maxBurstBytes: 262144 }],
    ['MaxBurstLength', '16777216', 'Reject', { maxBurstBytes: 262144 }],
    ['FirstBurstLength', '1048576', '262144', { firstBurstBytes: 262144 }],
    ['MaxOutstandingR2T', '65535', '8', { maxOutstandingR2T: 8 }],
    ['MaxOutstandingR2T', '0', 'Reject', { maxOutstandingR2T: 1 }],
    ['MaxConnections', '8', '1', {}],
    ['DefaultTime2Wait', '2', '2', {}],
    ['DefaultTime2Retain', '20', '0', {}],
    ['DefaultTime2Retain', '3601', 'Reject', {}],
    ['DataPDUInOrder', 'No', 'Yes', {}],
    ['DataSequenceInOrder', 'No', 'Yes', {}],
    ['ErrorRecoveryLevel', '2', '0', {}],
    ['TaskReporting', 'FastAbort,RFC3720', 'RFC3720', {}],
    ['iSCSIProtocolLevel', '2', '1', {}],
    ['IFMarker', 'Yes', 'No', {}],
    ['OFMarker', 'No', 'No', {}],
    ['OFMarkInt', '2048~2048', 'Reject', {}],
    ['AuthMethod', 'None', 'Reject', {}],
    ['SendTargets', 'All', 'NotUnderstood', {}],
    ['X-com.example.key', '1', 'NotUnderstood', {}],
    ['constructor', '1', 'NotUnderstood', {}],
    ['MaxRecvDataSegmentLength', '511', '262144', { initiatorDataBytesMax: 8192 }],
    ['MaxRecvDataSegmentLength', '65536', '262144', { initiatorDataBytesMax: 65536 }],
  ])('%s=%s is answered %s', (key, offer, answer, parameters) => {
    const { login, answers } = completed({ [key]: offer });
    expect(answers[key]).toBe(answer);
    expect(login.parameters).toMatchObject(parameters);
  });

  test('a first burst longer than a burst is cut to it', () => {
    const { login } = completed({ MaxBurstLength: '1024', FirstBurstLength: '65536' });
    expect(login.parameters.firstBurstBytes).toBe(1024);
  });
});

describe('a login is refused', () => {
  test.each([
    ['without an initiator name', { TargetName: TARGET }, 0x0207],
    ['without a target name', { InitiatorName: 'iqn.a' }, 0x0207],
    ['for a target that is not here', { ...NAMES, TargetName: 'iqn.other' }, 0x0203],
    ['with a name of 224 bytes', { ...NAMES, InitiatorName: 'i'.repeat(224) }, 0x0200],
    ['with an unknown session type', { ...NAMES, SessionType: 'Other' }, 0x0200],
    ['with a key that only a target declares', { ...NAMES, TargetAddress: 'x' }, 0x0200],
  ])('%s', (_, keys, status) => {
    expect(step(newLogin(), keys)).toEqual({ kind: 'refuse', status });
  });

  test.each([
    ['a version that we do not have', { versionMin: 1 }, 0x0205],
    ['a stage that does not exist', { currentStage: 2 }, 0x0200],
    ['a transit to the same stage', { nextStage: OPERATIONAL }, 0x0200],
    ['a transit to the stage that is reserved', { nextStage: 2 }, 0x0200],
    ['a transit in the middle of a text', { continues: true }, 0x0200],
  ])('with %s', (_, request, status) => {
    expect(step(newLogin(), NAMES, request)).toEqual({ kind: 'refuse', status });
  });

  test.each([
    ['another ISID', { isid: '800000000002' }],
    ['another session handle', { tsih: 7 }],
    ['another tag', { taskTag: 2 }],
    ['another connection id', { connectionId: 1 }],
    ['a stage that is over', { currentStage: SECURITY, nextStage: OPERATIONAL }],
  ])('when it goes on with %s', (_, request) => {
    const login = newLogin();
    step(login, NAMES, { transit: false, nextStage: 0 });
    expect(step(login, {}, request)).toEqual({ kind: 'refuse', status: 0x0200 });
  });

  test('when a key is negotiated twice, or another name is given later', () => {
    const twice = newLogin();
    step(twice, { ...NAMES, InitialR2T: 'No' }, { transit: false, nextStage: 0 });
    expect(step(twice, { InitialR2T: 'Yes' })).toEqual({ kind: 'refuse', status: 0x0200 });
    const renamed = newLogin();
    step(renamed, NAMES, { transit: false, nextStage: 0 });
    expect(step(renamed, { ...NAMES, InitiatorName: 'iqn.b' })).toMatchObject({ kind: 'refuse' });
    const same = newLogin();
    step(same, NAMES, { transit: false, nextStage: 0 });
    expect(step(same, NAMES)).toMatchObject({ kind: 'complete' });
  });

  test('when the initiator is not admitted', () => {
    const login = newLogin({ admits: (name) => name === 'iqn.friend' });
    expect(step(login, NAMES)).toEqual({ kind: 'refuse', status: 0x0202 });
    const early = newLogin({ admits: () => null });
    expect(step(early, NAMES)).toEqual({ kind: 'refuse', status: 0x0301 });
    const friend = newLogin({ admits: (name) => name === 'iqn.friend' });
    expect(step(friend, { ...NAMES, InitiatorName: 'iqn.friend' }).kind).toBe('complete');
  });

  test('when the text never ends, or the login does not', () => {
    const endless = newLogin();
    const piece = { ...REQUEST, transit: false, continues: true };
    const steps = Array.from({ length: 10 }, () => endless.step(piece, Buffer.alloc(8192, 0x41)));
    expect(steps.at(-1)).toEqual({ kind: 'refuse', status: 0x0200 });
    const slow = newLogin();
    const answers = Array.from({ length: 65 }, () =>
      step(slow, NAMES, { transit: false, nextStage: 0 }),
    );
    expect(answers.at(-1)).toEqual({ kind: 'refuse', status: 0x0200 });
  });
});

describe('authentication', () => {
  /** Wants two exchanges, then the right word. */
  const word: AuthenticationMethod = {
    name: 'WORD',
    isImplicit: false,
    begin: ({ initiatorName }) => {
      let isAsked = false;
      return {
        step: (pairs) => {
          if (!isAsked) {
            isAsked = true;
            return { kind: 'continue', answer: [['WORD_Q', initiatorName]] };
          }
          const said = pairs.find(([key]) => key === 'WORD_A')?.[1];
          return said === 'please' ? { kind: 'proven', answer: [] } : { kind: 'refused' };
        },
      };
    },
  };
  const security = { currentStage: SECURITY, nextStage: OPERATIONAL };

  test('holds the login in its stage until it is proven', () => {
    const login = newLogin({ methods: [word] });
    const asked = step(login, { ...NAMES, AuthMethod: 'None,WORD' }, security);
    expect(asked).toMatchObject({ kind: 'answer', transit: false });
    expect(answersOf(asked)).toMatchObject({ AuthMethod: 'WORD', WORD_Q: NAMES.InitiatorName });
    const proven = step(login, { WORD_A: 'please' }, security);
    expect(proven).toMatchObject({ kind: 'answer', transit: true });
    expect(step(login, {}).kind).toBe('complete');
  });

  test('that fails ends the login', () => {
    const login = newLogin({ methods: [word] });
    step(login, { ...NAMES, AuthMethod: 'WORD' }, security);
    expect(step(login, { WORD_A: 'now' }, security)).toEqual({ kind: 'refuse', status: 0x0201 });
  });

  test('cannot be left out, by no way around it', () => {
    const methods = [word];
    expect(step(newLogin({ methods }), NAMES)).toEqual({ kind: 'refuse', status: 0x0201 });
    expect(step(newLogin({ methods }), { ...NAMES, AuthMethod: 'None' }, security)).toEqual({
      kind: 'refuse',
      status: 0x0201,
    });
    const silent = newLogin({ methods });
    const jump = { currentStage: SECURITY, nextStage: FULL_FEATURE };
    expect(step(silent, NAMES, jump)).toMatchObject({ kind: 'answer', transit: false });
    expect(step(silent, {}, jump)).toMatchObject({ kind: 'answer', transit: false });
    const hasty = newLogin({ methods });
    step(hasty, { ...NAMES, AuthMethod: 'WORD' }, security);
    expect(step(hasty, {})).toMatchObject({ kind: 'refuse' });
  });
});

describe('hostile logins', () => {
  test('random requests are answered or refused, and none logs in under another name', () => {
    const keys = fc.dictionary(
      fc.constantFrom(
        'InitiatorName',
        'TargetName',
        'SessionType',
        'AuthMethod',
        'HeaderDigest',
        'MaxBurstLength',
        'MaxRecvDataSegmentLength',
        'InitialR2T',
        'X',
        '__proto__',
      ),
      fc.constantFrom('', 'None', 'Yes', TARGET, '512', '0', 'Discovery', 'Normal', 'iqn.evil'),
    );
    const request = fc.record({
      transit: fc.boolean(),
      continues: fc.boolean(),
      currentStage: fc.nat(3),
      nextStage: fc.nat(3),
      keys,
      tail: fc.uint8Array({ maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 6 }), (requests) => {
        const login = newLogin({ admits: (name) => name !== 'iqn.evil' });
        for (const { keys: pairs, tail, ...header } of requests) {
          const data = Buffer.concat([textOf(pairs), tail]);
          const done = login.step({ ...REQUEST, ...header }, data);
          if (done.kind === 'complete' && done.login.kind === 'normal') {
            expect(done.login.initiatorName).not.toBe('iqn.evil');
          }
          if (done.kind !== 'answer') return;
        }
      }),
      { numRuns: 1500 },
    );
  });
});
