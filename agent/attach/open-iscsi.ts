/**
 * Attach with the kernel's initiator (iscsi_tcp), driven by iscsiadm(8). Devices are found by the
 * session's target name and the unit serial number (SPC-4 §7.8.15, VPD page 80h), never by their
 * own name: after a new login `sdb` may be another disk.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../core/platform/index.ts';
import { type CommandLine, type Commands, commandError } from '../host/commands.ts';
import type { SystemFiles } from '../host/system-files.ts';
import { until } from '../host/time.ts';
import type { AttachedDevice, DeviceAttacher, DeviceName, DeviceRequest } from './device.ts';

export interface OpenIscsiDependencies {
  readonly clock: Clock;
  readonly commands: Commands;
  readonly system: SystemFiles;
}

/** iscsiadm(8), "EXIT STATUS": as documented, because only they tell these cases apart. */
const EXIT_SESSION_EXISTS = 15;
const EXIT_NOTHING_FOUND = 21;

const COMMAND_TIMEOUT_MS = 30_000;
const DEVICE_TIMEOUT_MS = 20_000;
const GONE_TIMEOUT_MS = 10_000;
const POLL_INTERVAL_MS = 50;
/** Seconds that commands wait for a target that is away before they fail: well over 40 (R18). */
const REPLACEMENT_TIMEOUT_S = 180;
/** Seconds that one command may take: a target holds commands for 18 s before it says BUSY. */
const COMMAND_TIMEOUT_S = 60;

const SESSIONS = '/sys/class/iscsi_session';

export class OpenIscsiAttacher implements DeviceAttacher {
  readonly method = 'kernel';
  readonly #dependencies: OpenIscsiDependencies;

  constructor(dependencies: OpenIscsiDependencies) {
    this.#dependencies = dependencies;
  }

  async attach(request: DeviceRequest): Promise<AttachedDevice> {
    await this.detach(request);
    try {
      await this.#login(request);
      return { device: await this.#device(request), processes: [] };
    } catch (error) {
      await this.detach(request);
      throw error;
    }
  }

  async damage(request: DeviceRequest, attached: AttachedDevice): Promise<string | null> {
    const device = await this.#findDevice(request);
    return device === attached.device ? null : `its device ${attached.device} is gone`;
  }

  /** The kernel removes the disk whoever uses it. */
  async destroy(request: DeviceName): Promise<void> {
    await this.detach(request);
  }

  async detach({ iqn, portal }: DeviceName): Promise<void> {
    const record = ['iscsiadm', '-m', 'node', '-T', iqn, '-p', portal] as const;
    await this.#run([...record, '--logout'], [0, EXIT_NOTHING_FOUND]);
    await this.#run([...record, '-o', 'delete'], [0, EXIT_NOTHING_FOUND]);
    const gone = await until(
      async () => ((await this.#sessions(iqn)).length === 0 ? true : null),
      this.#patience(GONE_TIMEOUT_MS),
    );
    if (gone === null) throw new Error(`the iSCSI session to ${iqn} does not end`);
  }

  async #login({ iqn, portal, initiatorName }: DeviceRequest): Promise<void> {
    const name = interfaceName(initiatorName);
    const own = ['iscsiadm', '-m', 'iface', '-I', name] as const;
    // It may exist from the last time; if it could not be made, the update says so.
    await this.#dependencies.commands.run([...own, '-o', 'new'], { timeoutMs: COMMAND_TIMEOUT_MS });
    await this.#run(update(own, 'iface.initiatorname', initiatorName), [0]);
    const node = ['iscsiadm', '-m', 'node', '-T', iqn, '-p', portal, '-I', name] as const;
    await this.#run([...node, '-o', 'new'], [0]);
    const settings = {
      // The agent logs in, never the boot scripts.
      'node.startup': 'manual',
      'node.session.timeo.replacement_timeout': `${REPLACEMENT_TIMEOUT_S}`,
      'node.conn[0].timeo.noop_out_interval': '5',
      'node.conn[0].timeo.noop_out_timeout': '10',
      'node.session.initial_login_retry_max': '4',
    };
    for (const [setting, value] of Object.entries(settings)) {
      await this.#run(update(node, setting, value), [0]);
    }
    await this.#run([...node, '--login'], [0, EXIT_SESSION_EXISTS]);
  }

  async #device(request: DeviceRequest): Promise<string> {
    const ask = () => this.#findDevice(request);
    const device = await until(ask, this.#patience(DEVICE_TIMEOUT_MS));
    if (device === null) {
      throw new Error(`no disk with the serial number of volume ${request.volumeId} appeared`);
    }
    const name = device.slice('/dev/'.length);
    const { system } = this.#dependencies;
    await system.write(`/sys/block/${name}/device/timeout`, `${COMMAND_TIMEOUT_S}`);
    return device;
  }

  /** The disk of a session with that target that has the volume's serial number. */
  async #findDevice({ volumeId, iqn }: DeviceRequest): Promise<string | null> {
    const { system } = this.#dependencies;
    for (const session of await this.#sessions(iqn)) {
      const root = `${SESSIONS}/${session}/device`;
      for (const name of await system.names('/sys/block')) {
        const place = await system.realPath(`/sys/block/${name}/device`);
        const sessionPlace = await system.realPath(root);
        if (place === null || sessionPlace === null) continue;
        if (!place.startsWith(`${sessionPlace}/`)) continue;
        const page = await system.text(`/sys/block/${name}/device/vpd_pg80`);
        if (page !== null && serialOf(page) === volumeSerial(volumeId)) return `/dev/${name}`;
      }
    }
    return null;
  }

  async #sessions(iqn: string): Promise<readonly string[]> {
    const { system } = this.#dependencies;
    const names = await system.names(SESSIONS);
    const targets = await Promise.all(
      names.map((name) => system.text(`${SESSIONS}/${name}/targetname`)),
    );
    return names.filter((_name, index) => targets[index]?.trim() === iqn);
  }

  async #run(line: CommandLine, accepted: readonly number[]): Promise<number> {
    const { commands } = this.#dependencies;
    const result = await commands.run(line, { timeoutMs: COMMAND_TIMEOUT_MS });
    const { exitCode } = result;
    if (exitCode !== null && accepted.includes(exitCode)) return exitCode;
    throw commandError(line, result);
  }

  #patience(timeoutMs: number) {
    return { clock: this.#dependencies.clock, timeoutMs, intervalMs: POLL_INTERVAL_MS };
  }
}

/** Each initiator name has its own interface record: several agents may share a machine. */
function interfaceName(initiatorName: string): string {
  return `openebs-${createHash('sha256').update(initiatorName).digest('hex').slice(0, 16)}`;
}

function update(record: readonly [string, ...string[]], name: string, value: string): CommandLine {
  return [...record, '-o', 'update', '-n', name, '-v', value];
}

/** The page has a header of 4 bytes; the serial is padded with blanks (SPC-4 §7.8.15). */
function serialOf(page: string): string {
  return page.slice(4).trim().toLowerCase();
}

/** The serial number that our targets report: the volume's id without dashes. */
function volumeSerial(volumeId: string): string {
  return volumeId.replaceAll('-', '').toLowerCase();
}
