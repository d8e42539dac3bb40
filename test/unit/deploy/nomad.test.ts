/** deploy/nomad, read as Nomad (command/volume_register_csi.go, jobspec2) and our driver read it. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parseMountOptions } from '../../../agent/filesystem/mount-options.ts';
import { parseVolumeOptions } from '../../../core/api/index.ts';
import { hindranceOf } from '../../../plugins/csi/capabilities.ts';
import { parseCsiArguments } from '../../../plugins/csi/main.ts';
import type { VolumeCapability } from '../../../plugins/csi/messages.ts';
import { nodesIn } from '../../../plugins/csi/topology.ts';
import {
  blocksOf,
  type HclBlock,
  type HclBody,
  type HclValue,
  parseHcl,
} from '../../fixtures/hcl.ts';

const FOLDER = new URL('../../../deploy/nomad/', import.meta.url);
const names = readdirSync(FOLDER).filter((name) => name.endsWith('.hcl'));
const files = new Map(
  names.map((name) => [name, parseHcl(readFileSync(new URL(name, FOLDER), 'utf8'))]),
);
const jobs = [...files].filter(([name]) => name.endsWith('.nomad.hcl'));
const volumes = [...files].filter(([name]) => name.startsWith('volume'));
const plugins = jobs.filter(([, body]) => blocksOf(body, 'csi_plugin').length > 0);
const workloads = jobs.filter(([, body]) => blocksOf(body, 'volume').length > 0);

const PLUGIN_ID = 'openebs';
const MODE = { monolith: 'all', controller: 'controller', node: 'node' } as const;

test('every file is a plugin, a volume or a workload', () => {
  expect([plugins.length, volumes.length, workloads.length]).toEqual([3, 5, 3]);
  expect(plugins.length + volumes.length + workloads.length).toBe(names.length);
});

test.each(plugins)('%s starts our plugin as what Nomad takes it for', (_name, body) => {
  const plugin = only(blocksOf(body, 'csi_plugin'));
  const { id, type, mount_dir, stage_publish_base_dir: base, ...more } = plugin.attributes;
  expect({ id, mount_dir }).toEqual({ id: PLUGIN_ID, mount_dir: '/csi' });
  expect(Object.keys(more).filter((key) => key !== 'health_timeout')).toEqual([]);
  const { args, ...config } = only(blocksOf(body, 'config')).attributes;
  const [command, ...words] = args as readonly string[];
  expect(command).toBe('csi');
  const given = parseCsiArguments(words, { CSI_ENDPOINT: 'unix:///csi/csi.sock' });
  expect(given).toMatchObject({ mode: MODE[type as keyof typeof MODE], door: 'nomad' });
  // A controller publishes nothing; the others do it under the host's own path.
  if (type === 'controller') expect(base).toBeUndefined();
  else expect(base).toMatch(new RegExp(`^/opt/nomad/data/client/csi/${text(type)}/${PLUGIN_ID}$`));
  expect(Object.keys(config)).not.toContain('privileged');
  expect(Object.keys(config)).not.toContain('cap_add');
  if (config['command'] === undefined) expectAgentMounted(String(given?.agent), config['volumes']);
});

test.each(volumes)('%s is a volume that the driver makes or finds', (_name, body) => {
  const { type, id, name, plugin_id, external_id, capacity_min, ...more } = body.attributes;
  expect({ type, plugin_id, more }).toEqual({ type: 'csi', plugin_id: PLUGIN_ID, more: {} });
  expect(name).toBe(id);
  expect(external_id === undefined).toBe(capacity_min !== undefined);
  // Nomad reads it with go-humanize: a space is 10^9 without the i.
  if (capacity_min !== undefined) expect(capacity_min).toMatch(/^[0-9]+[MGT]iB$/);
  const parameters = attributesOf(body, 'parameters') as Readonly<Record<string, string>>;
  expect(parseVolumeOptions(text(id), parameters).name).toBe(id);
  const { fs_type = '', mount_flags = [] } = attributesOf(body, 'mount_options');
  parseMountOptions(text(id), mount_flags as readonly string[]);
  const capabilities = blocksOf(body, 'capability');
  expect(capabilities.length).toBeGreaterThan(0);
  for (const capability of capabilities) expect(hindrance(capability, text(fs_type))).toBeNull();
  for (const { attributes } of blocksOf(body, 'segments')) {
    const nodes = [{ name: 'node-1', zone: null }];
    expect(nodesIn({ segments: attributes as Record<string, string> }, nodes)).toEqual(['node-1']);
  }
});

test.each(workloads)(
  '%s uses a volume that one of the files makes, in a way it has',
  (_name, body) => {
    const group = only(blocksOf(body, 'group'));
    const volume = only(group.blocks.filter(({ kind }) => kind === 'volume'));
    const {
      type,
      source,
      per_alloc = false,
      access_mode,
      attachment_mode,
      ...more
    } = volume.attributes;
    expect({ type, more }).toEqual({ type: 'csi', more: {} });
    const count = Number(group.attributes['count'] ?? 1);
    // Nomad refuses several allocations of a volume with one writer.
    if (per_alloc === false) expect(count).toBe(1);
    for (let index = 0; index < count; index += 1) {
      const id = per_alloc === true ? `${text(source)}[${index}]` : source;
      const file = volumes.find(([, { attributes }]) => attributes['id'] === id);
      const ways = blocksOf(file?.[1] ?? { attributes: {}, blocks: [] }, 'capability');
      expect(ways.map(({ attributes }) => attributes)).toContainEqual({
        access_mode,
        attachment_mode,
      });
    }
    const mount = only(blocksOf(body, 'volume_mount'));
    expect([mount.attributes['volume']]).toEqual(volume.labels);
  },
);

function text(value: HclValue | undefined): string {
  if (typeof value !== 'string') throw new Error(`${JSON.stringify(value)} is no text`);
  return value;
}

function only(blocks: readonly HclBlock[]): HclBlock {
  const [first, ...more] = blocks;
  if (first === undefined || more.length > 0) throw new Error(`${blocks.length} blocks, not one`);
  return first;
}

function attributesOf(body: HclBody, kind: string) {
  const blocks = blocksOf(body, kind);
  return blocks.length === 0 ? {} : only(blocks).attributes;
}

/** What the driver says of it. */
function hindrance({ attributes }: HclBlock, fsType: string): string | null {
  const { access_mode: mode, attachment_mode: attachment } = attributes;
  expect(['file-system', 'block-device']).toContain(attachment);
  const accessMode = { mode: text(mode).toUpperCase().replaceAll('-', '_') };
  const mount = { fsType, mountFlags: [], volumeMountGroup: '' };
  const capability =
    attachment === 'block-device'
      ? { accessMode, accessType: 'block', block: {} }
      : { accessMode, accessType: 'mount', mount };
  return hindranceOf(capability as unknown as VolumeCapability);
}

/** In the container the socket is where the arguments say. */
function expectAgentMounted(agent: string, mounts: unknown): void {
  const targets = (mounts as readonly string[]).map((mount) => mount.split(':')[1]);
  expect(targets).toContain(agent.replace(/^unix:/, '').replace(/\/[^/]*$/, ''));
}
