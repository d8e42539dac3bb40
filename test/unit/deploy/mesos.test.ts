/** deploy/mesos, read as Marathon (1.11), Mesos (1.11) and our driver read it. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { checkPluginFile } from '../../../cli/mesos/check-plugin-file.ts';
import {
  DEFAULT_TARGET_PATH_ROOT,
  PLUGIN_TYPE,
  pluginFile,
} from '../../../cli/mesos/plugin-file.ts';
import { GiB } from '../../../core/units.ts';
import { hindranceOf } from '../../../plugins/csi/capabilities.ts';
import { DRIVER_NAME } from '../../../plugins/csi/identity.ts';
import { DRIVER } from '../../../plugins/mesos/command-line.ts';
import { Isolator } from '../plugins/mesos/isolator.ts';

const read = (name: string) =>
  readFileSync(new URL(`../../../deploy/mesos/${name}`, import.meta.url), 'utf8');

type App = {
  readonly id: string;
  readonly instances: number;
  readonly container: {
    readonly type: string;
    readonly volumes: readonly {
      readonly containerPath: string;
      readonly mode: string;
      readonly external: {
        readonly provider: string;
        readonly name: string;
        readonly size?: number;
        readonly options: Readonly<Record<string, unknown>>;
      };
    }[];
  };
  readonly env: Readonly<Record<string, string>>;
  readonly upgradeStrategy: object;
};

function appIn(name: string) {
  const app = JSON.parse(read(name)) as App;
  const [volume, ...more] = app.container.volumes;
  if (volume === undefined || more.length > 0) throw new Error(`${name}: one volume`);
  return { app, volume, external: volume.external };
}

test.each(['marathon/postgres-dvdi.json', 'marathon/postgres-csi.json'])(
  '%s is what Marathon takes for a volume that one task at a time may have',
  (name) => {
    const { app, volume } = appIn(name);
    expect(app.instances).toBe(1);
    expect(app.upgradeStrategy).toEqual({ minimumHealthCapacity: 0, maximumOverCapacity: 0 });
    // Only the Mesos containerizer has the two isolators; a DVDI volume there is RW.
    expect([app.container.type, volume.mode]).toEqual(['MESOS', 'RW']);
    // lost+found is in the root of an ext4, and initdb wants an empty folder.
    expect(app.env['PGDATA']).toMatch(new RegExp(`^${volume.containerPath}/.`));
  },
);

/** DVDIProvider.dockerVolumeParameters: what becomes `--volumeopts`. */
function driverOptions({ size, options }: ReturnType<typeof appIn>['external']) {
  const all = { ...options, ...(size === undefined ? {} : { 'dvdi/size': size }) };
  return Object.fromEntries(
    Object.entries(all)
      .filter(([key]) => key.startsWith('dvdi/') && key !== 'dvdi/driver')
      .map(([key, value]) => [key.slice('dvdi/'.length), String(value).trim()]),
  );
}

test('the DVDI app makes its volume through dvdcli, and mounts it', async () => {
  const { external } = appIn('marathon/postgres-dvdi.json');
  expect([external.provider, external.options['dvdi/driver']]).toEqual(['dvdi', DRIVER]);
  const optionKey =
    /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\/[A-Za-z0-9](?:[-A-Za-z0-9._:]*[A-Za-z0-9])?$/;
  for (const [key, value] of Object.entries(external.options)) {
    expect(key).toMatch(optionKey);
    expect(typeof value).toBe('string');
  }
  const isolator = new Isolator();
  const answer = await isolator.mount(external.name, driverOptions(external));
  expect(answer).toMatchObject({ status: 0, stderr: '' });
  expect(isolator.agent.volumes.get('pgdata')).toMatchObject({ sizeBytes: 10 * GiB, replicas: 3 });
});

test('the CSI app names our plugin, and a capability that it has', () => {
  const { external } = appIn('marathon/postgres-csi.json');
  expect(external).toMatchObject({
    provider: 'csi',
    name: 'pgdata',
    options: {
      pluginName: PLUGIN_TYPE,
      // Marathon 1.11 throws without fsType (VolumeConversion).
      capability: { accessType: 'mount', accessMode: 'SINGLE_NODE_WRITER', fsType: 'ext4' },
    },
  });
  expect(PLUGIN_TYPE).toBe(DRIVER_NAME);
  const { accessMode, fsType } = external.options['capability'] as Record<string, string>;
  const mount = { fsType: fsType ?? '', mountFlags: [], volumeMountGroup: '' };
  const capability = { accessType: 'mount', accessMode: { mode: accessMode }, mount } as const;
  expect(hindranceOf(capability as never)).toBeNull();
});

test('the file for the volume/csi isolator is what mayactl would write, and in order', () => {
  const text = read('csi/openebs.json');
  expect(checkPluginFile(text)).toEqual([]);
  const endpoint = 'unix:///run/openebs/csi-mesos.sock';
  expect(JSON.parse(text)).toEqual(pluginFile(endpoint, DEFAULT_TARGET_PATH_ROOT));
});

test("mesos-agent's environment has the isolators with all that they ask for", () => {
  const lines = read('mesos-agent.env').split('\n');
  const entries = lines.flatMap((line) => {
    if (line === '' || line.startsWith('#')) return [];
    const [, name, value] = /^([A-Z_]+)=(\S+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`no assignment: ${line}`);
    return [[name, value] as const];
  });
  const environment = Object.fromEntries(entries);
  expect(environment['MESOS_ISOLATION']?.split(',')).toEqual(
    expect.arrayContaining(['filesystem/linux', 'docker/runtime', 'docker/volume', 'volume/csi']),
  );
  expect(environment).toMatchObject({
    // The linux launcher is what filesystem/linux wants; images are what docker/runtime is for.
    MESOS_LAUNCHER: 'linux',
    MESOS_IMAGE_PROVIDERS: 'docker',
    MESOS_CONTAINERIZERS: 'mesos',
    OPENEBS_AGENT: expect.stringMatching(/^unix:\//),
  });
  for (const name of ['MESOS_DOCKER_VOLUME_CHECKPOINT_DIR', 'MESOS_CSI_PLUGIN_CONFIG_DIR']) {
    expect(environment[name]).toMatch(/^\/(var\/lib|etc)\//);
  }
});
