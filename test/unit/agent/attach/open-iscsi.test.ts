import { expect, test } from '@jest/globals';
import { OpenIscsiAttacher } from '../../../../agent/attach/open-iscsi.ts';
import { EagerClock } from '../../../fixtures/agent/eager-clock.ts';
import { FakeMachine, failed, ok } from '../../../fixtures/agent/fake-machine.ts';

const REQUEST = {
  volumeId: '01234567-89ab-4cde-8000-000000000000',
  iqn: 'iqn.2016-09.com.openebs:01234567-89ab-4cde-8000-000000000000',
  portal: '127.0.0.1:3260',
  initiatorName: 'iqn.2016-09.com.openebs:node-node-1',
};
const SERIAL = '0123456789ab4cde8000000000000000';
const HOST = '/sys/devices/platform/host3/session1';

/** sysfs after a login: two disks of the session, of which one is the volume's. */
function logIn(machine: FakeMachine, places: Map<string, string>): void {
  machine.texts.set('/sys/class/iscsi_session/session1/targetname', `${REQUEST.iqn}\n`);
  places.set('/sys/class/iscsi_session/session1/device', HOST);
  for (const [name, serial] of [
    ['sdb', 'ffff456789ab4cde8000000000000000'],
    ['sdc', SERIAL],
  ]) {
    places.set(`/sys/block/${name}/device`, `${HOST}/target3:0:0/3:0:0:${name}`);
    machine.texts.set(`/sys/block/${name}/device/vpd_pg80`, `\u0000\ufffd\u0000 ${serial}  `);
  }
  places.set('/sys/block/sda/device', '/sys/devices/pci0000:00/ata1/host0');
  machine.texts.set('/sys/block/sda/device/vpd_pg80', `\u0000\ufffd\u0000 ${SERIAL}`);
}

function rig() {
  const machine = new FakeMachine();
  const places = new Map<string, string>();
  machine.realPath = async (path) => places.get(path) ?? null;
  machine.override = (line) => {
    if (line[0] !== 'iscsiadm') return null;
    if (line.includes('--login')) logIn(machine, places);
    if (!line.includes('--logout')) return ok();
    const wasThere = machine.texts.delete('/sys/class/iscsi_session/session1/targetname');
    return wasThere ? ok() : failed(21, 'No matching sessions found');
  };
  const attacher = new OpenIscsiAttacher({
    clock: new EagerClock(),
    commands: machine,
    system: machine,
  });
  return { machine, attacher };
}

test('the disk is found by session and serial number, never by its name', async () => {
  const { attacher, machine } = rig();
  const attached = await attacher.attach(REQUEST);
  expect(attached).toEqual({ device: '/dev/sdc', processes: [] });
  expect(await attacher.damage(REQUEST, attached)).toBeNull();
  expect(await attacher.damage(REQUEST, { ...attached, device: '/dev/sdb' })).toMatch(/is gone/);
  expect(machine.texts.get('/sys/block/sdc/device/timeout')).toBe('60');
});

test('the node logs in under its own name, with time-outs that outlast a gap of 40 seconds', async () => {
  const { attacher, machine } = rig();
  await attacher.attach(REQUEST);
  const updates = machine.ran.filter((line) => line.includes('-o update'));
  expect(updates[0]).toMatch(/-m iface .*-n iface.initiatorname -v .*:node-node-1$/);
  const replacement = updates.find((line) => line.includes('replacement_timeout')) ?? '';
  expect(Number(replacement.split(' ').at(-1))).toBeGreaterThan(40);
  expect(updates.some((line) => line.endsWith('-n node.startup -v manual'))).toBe(true);
});

test('detaching logs out and forgets the target; nothing there is fine', async () => {
  const { attacher, machine } = rig();
  await attacher.attach(REQUEST);
  machine.ran.length = 0;
  await attacher.detach(REQUEST);
  const record = `iscsiadm -m node -T ${REQUEST.iqn} -p ${REQUEST.portal}`;
  expect(machine.ran).toEqual([`${record} --logout`, `${record} -o delete`]);
  await attacher.detach(REQUEST);
});

test('a login that brings no disk is undone', async () => {
  const { attacher, machine } = rig();
  const usual = machine.override;
  machine.override = (line) => {
    const result = usual(line);
    machine.texts.delete('/sys/block/sdc/device/vpd_pg80');
    return result;
  };
  await expect(attacher.attach(REQUEST)).rejects.toThrow(/no disk with the serial number/);
  expect(machine.ran.at(-1)).toMatch(/-o delete$/);
});

test('a login that fails says what iscsiadm said', async () => {
  const { attacher, machine } = rig();
  const usual = machine.override;
  machine.override = (line) =>
    line.includes('--login') ? failed(24, 'iscsiadm: authorization failure') : usual(line);
  await expect(attacher.attach(REQUEST)).rejects.toThrow(/status 24: .*authorization failure/);
});

test('a session that does not end is an error, not forgotten', async () => {
  const { attacher, machine } = rig();
  await attacher.attach(REQUEST);
  machine.override = () => ok();
  await expect(attacher.detach(REQUEST)).rejects.toThrow(/does not end/);
});
