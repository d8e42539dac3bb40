import { expect, test } from '@jest/globals';
import { CodedError } from '../../../../core/errors.ts';
import type { HttpRequest } from '../../../../core/platform/index.ts';
import { PatientTransport } from '../../../../plugins/csi/patient-transport.ts';

const QUICK = { patienceMs: 5_000, retryIntervalMs: 1 };
const REQUEST: HttpRequest = { method: 'POST', path: '/v1/volumes/data/unstage', timeoutMs: 9_000 };

/** Fails as often as told, then answers. */
function failing(code: string, times: number, before: () => void = () => undefined) {
  const requests: HttpRequest[] = [];
  return {
    requests,
    request: async (request: HttpRequest) => {
      requests.push(request);
      before();
      if (requests.length <= times) throw new CodedError({ code }, `it is ${code}`);
      return { status: 200, body: null };
    },
  };
}

test('an agent that is away is asked again, within the deadline of the request', async () => {
  const agent = failing('unreachable', 3);
  const transport = new PatientTransport(agent, QUICK);
  expect(await transport.request(REQUEST)).toEqual({ status: 200, body: null });
  expect(agent.requests).toHaveLength(4);
  const left = agent.requests.map(({ timeoutMs }) => timeoutMs);
  expect(left).toEqual(left.toSorted((a, b) => b - a));
  expect(left[3]).toBeLessThan(9_000);
});

test.each(['timeout', 'aborted', 'badAnswer'])('what is %s is not asked again', async (code) => {
  const agent = failing(code, 1);
  await expect(new PatientTransport(agent, QUICK).request(REQUEST)).rejects.toMatchObject({ code });
  expect(agent.requests).toHaveLength(1);
});

test.each([
  ['patience', { patienceMs: 20, retryIntervalMs: 5 }, 9_000],
  ['time', { patienceMs: 5_000, retryIntervalMs: 5 }, 20],
])('it ends when the %s is over', async (_what, patience, timeoutMs) => {
  const agent = failing('unreachable', Number.POSITIVE_INFINITY);
  const transport = new PatientTransport(agent, patience);
  await expect(transport.request({ ...REQUEST, timeoutMs })).rejects.toThrow('it is unreachable');
  expect(agent.requests.length).toBeGreaterThan(0);
});

test('it ends when nobody waits any more', async () => {
  const gone = new AbortController();
  const agent = failing('unreachable', Number.POSITIVE_INFINITY, () => gone.abort());
  const request = { ...REQUEST, signal: gone.signal };
  await expect(new PatientTransport(agent, QUICK).request(request)).rejects.toThrow('unreachable');
  expect(agent.requests).toHaveLength(1);
});
