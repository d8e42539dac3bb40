/** An initiator that says anything: the target answers or closes, and serves the next one. */
import { expect, test } from '@jest/globals';
import { SimRandom } from '../../../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { HeldDevice } from '../../../fixtures/held-device.ts';
import { ConnectionUnderTest, fieldsOf, makeTarget } from '../../../fixtures/iscsi-connection.ts';
import { encodeHeader, paddingOf, REQUEST } from '../../../fixtures/iscsi-pdu.ts';

const COMMANDS = [
  0x00, 0x03, 0x12, 0x15, 0x1a, 0x25, 0x28, 0x2a, 0x2e, 0x2f, 0x35, 0x41, 0x42, 0x55, 0x5a, 0x7f,
  0x88, 0x89, 0x8a, 0x8b, 0x8e, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3, 0xa8, 0xaa, 0xff,
] as const;
const REQUESTS = Object.values(REQUEST) as unknown as [number, ...number[]];
const DATA_BYTES = [0, 1, 3, 24, 512, 4 * KiB, 64 * KiB] as const;

/** Nearly right: known requests with fields of other ones, lengths and numbers at their edges. */
function anything(random: SimRandom, commandNumber: number): Buffer {
  const data = random.chance(0.4) ? Buffer.alloc(random.pick(DATA_BYTES), random.below(256)) : null;
  const isCommand = random.chance(0.5);
  const opcode = isCommand ? REQUEST.command : random.pick(REQUESTS);
  const wrongNumber = random.pick([-1, 1, 2, 100, 255, 256, 2 ** 30, 2 ** 31]);
  const number = random.chance(0.9) ? commandNumber : commandNumber + wrongNumber;
  const expectedBytes = random.pick([0, 512, 4 * KiB, 2 ** 20, 2 ** 22, 2 ** 32 - 1]);
  const header = encodeHeader({
    opcode,
    immediate: random.chance(0.2),
    flags: random.pick([0x80, 0xc0, 0xa0, 0x20, 0x40, 0xe0, 0]) | random.below(8),
    lun: random.chance(0.9) ? 0 : random.below(256),
    taskTag: random.chance(0.1) ? 0xffffffff : random.below(40),
    dataBytes: data?.length ?? 0,
    words: [expectedBytes, number, 0, random.below(2 ** 32), random.below(8), 0, 0],
  });
  if (opcode === REQUEST.command) {
    header[32] = random.pick(COMMANDS);
    for (let at = 33; at < 48; at += 1) header[at] = random.chance(0.8) ? 0 : random.below(256);
  }
  if (random.chance(0.01)) header[0] = random.below(256);
  if (random.chance(0.01)) header[4] = random.below(256);
  if (random.chance(0.01)) header.writeUIntBE(random.below(2 ** 24), 5, 3);
  const pdu = Buffer.concat([header, data ?? Buffer.alloc(0), paddingOf(data?.length ?? 0)]);
  if (random.chance(0.01)) pdu[random.below(48)] = random.below(256);
  return pdu;
}

test.each(Array.from({ length: 8 }, (_none, seed) => seed))(
  'whatever an initiator sends, the target lives on and serves the next one, seed %i',
  (seed) => {
    const random = new SimRandom(`iscsi ${seed}`);
    // Commands are under way for a while, and end in any order.
    const device = new HeldDevice(16 * MiB);
    const { target } = makeTarget({ device });
    const finishSome = (probability: number): void => {
      for (const call of device.calls.slice()) if (random.chance(probability)) call.finish();
    };
    for (let round = 0; round < 40; round += 1) {
      const initiator = new ConnectionUnderTest(target);
      if (random.chance(0.95)) initiator.open({}, { isid: 1 + random.below(3) });
      const { port, connection } = initiator;
      for (let count = random.below(60); count > 0 && port.closed === null; count -= 1) {
        const pdu = anything(random, initiator.commandNumber);
        initiator.commandNumber += 1;
        const cut = random.chance(0.3) ? random.below(pdu.length) : pdu.length;
        connection.receive(pdu.subarray(0, cut));
        if (cut < pdu.length) connection.receive(pdu.subarray(cut));
        finishSome(0.2);
      }
      // What was sent is never changed afterwards.
      connection.flush();
      const copies = port.copies.slice(port.copies.length - port.sent.length);
      expect(Buffer.concat(port.sent).equals(Buffer.concat(copies))).toBe(true);
      connection.lost();
    }
    while (device.calls.length > 0) finishSome(1);
    expect(target.sessions.size).toBe(0);
    const last = new ConnectionUnderTest(target).open({}, { isid: 9 });
    last.command({ cdb: Buffer.alloc(16) });
    expect(fieldsOf(last.answer())).toMatchObject({ status: 0 });
  },
);
