/**
 * What mesos-agent 1.11 makes of a CSIPluginInfo: src/slave/csi_server.cpp (reading),
 * 3rdparty/stout/include/stout/protobuf.hpp (JSON to messages), src/csi (use).
 */
import { messageOf } from '../../core/errors.ts';
import {
  isAbsent,
  isObject,
  isPlainPath,
  type JsonObject,
  shown,
  unknownFields,
} from './json-shape.ts';

const FIELDS = [
  'type',
  'name',
  'containers',
  'endpoints',
  'target_path_root',
  'target_path_exists',
];
const ENDPOINT_FIELDS = ['csi_service', 'endpoint'];
/** sockaddr_un holds 108 bytes with the closing zero. */
const SOCKET_PATH_BYTES_MAX = 107;

/** @returns one sentence for each thing that is wrong; none when all is right. */
export function checkPluginFile(text: string): readonly string[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    const reason = messageOf(error);
    return [`it is not JSON (${reason}), and Mesos loads no plugin at all while one file is not`];
  }
  if (!isObject(file)) return ['it is not a JSON object'];
  return [
    ...unknownFields(file, '', FIELDS),
    ...checkType(file['type']),
    ...checkName(file['name']),
    ...checkEndpoints(file),
    ...checkTargetPathRoot(file['target_path_root']),
    ...checkTargetPathExists(file['target_path_exists']),
  ];
}

/** The type of a file that is right; what else Mesos would take for one is no matter here. */
export function typeOf(text: string): string | null {
  const file: unknown = JSON.parse(text);
  const type = isObject(file) ? file['type'] : null;
  return typeof type === 'string' ? type : null;
}

/** It names a folder of mesos-agent's, and every volume's `plugin_name`. */
function checkType(type: unknown): readonly string[] {
  if (isAbsent(type)) return ['type is missing'];
  const isName =
    typeof type === 'string' && /^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$/.test(type);
  return isName ? [] : [`type ${shown(type)} is not a name such as maya.csi.openebs.io`];
}

/** mesos.proto: "It should be a legal Java identifier". */
function checkName(name: unknown): readonly string[] {
  const isName = typeof name === 'string' && /^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name);
  if (isAbsent(name) || isName) return [];
  return [`name ${shown(name)} is not letters, digits and _ (leave it out: it is then "default")`];
}

function checkEndpoints({ containers, endpoints }: JsonObject): readonly string[] {
  if (!isAbsent(containers)) {
    return ['containers has Mesos start the plugin itself: OpenEBS runs its own, give endpoints'];
  }
  if (!Array.isArray(endpoints) || endpoints.length === 0) {
    return ['endpoints is missing: mesos-agent aborts on a file without any'];
  }
  const problems = endpoints.flatMap((endpoint: unknown, index) =>
    checkEndpoint(endpoint, `endpoints[${index}]`),
  );
  if (problems.length === 0 && endpoints.length > 1) {
    return ['endpoints has NODE_SERVICE twice: Mesos takes the first'];
  }
  return problems;
}

function checkEndpoint(endpoint: unknown, place: string): readonly string[] {
  if (!isObject(endpoint)) return [`${place} is not an object`];
  return [
    ...unknownFields(endpoint, `${place}.`, ENDPOINT_FIELDS),
    ...checkService(endpoint['csi_service'], `${place}.csi_service`),
    ...checkAddress(endpoint['endpoint'], `${place}.endpoint`),
  ];
}

function checkService(service: unknown, place: string): readonly string[] {
  if (service === 'NODE_SERVICE') return [];
  if (service === 'CONTROLLER_SERVICE') {
    return [`${place} CONTROLLER_SERVICE is never called by the isolator: leave this endpoint out`];
  }
  return [isAbsent(service) ? `${place} is missing` : `${place} ${shown(service)} is unknown`].map(
    (problem) => `${problem}; give "NODE_SERVICE"`,
  );
}

/** gRPC takes what has no scheme for a host name. */
function checkAddress(address: unknown, place: string): readonly string[] {
  if (isAbsent(address)) return [`${place} is missing: give unix:///path/of/csi.sock`];
  const path =
    typeof address === 'string' ? /^unix:(?:\/\/)?(\/.*)$/.exec(address)?.[1] : undefined;
  if (path === undefined || !isPlainPath(path)) {
    return [`${place} ${shown(address)} is not unix:///path/of/csi.sock`];
  }
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return [];
  return [`${place}: the path is longer than the ${SOCKET_PATH_BYTES_MAX} bytes of a socket's`];
}

/**
 * When it starts mesos-agent deletes, with all that is in it, whatever it finds below this folder
 * and does not know as a volume (garbageCollectMountPath).
 */
function checkTargetPathRoot(root: unknown): readonly string[] {
  if (isAbsent(root)) return [];
  const place = `target_path_root ${shown(root)}`;
  if (typeof root !== 'string' || !isPlainPath(root)) {
    return [`${place} is not an absolute path without ".", ".." and a slash at its end`];
  }
  if (isSharedFolder(root)) {
    return [`${place} has other things in it, and Mesos deletes what it does not know there`];
  }
  if (!/^\/(tmp|run|var\/run|var\/tmp|dev)\//.test(root)) return [];
  return [`${place} is emptied by a reboot: mesos-agent aborts when a staging path has gone`];
}

const SHARED_FOLDERS: readonly string[] = [
  '/opt/local',
  '/usr/lib',
  '/usr/local',
  '/var/cache',
  '/var/lib',
  '/var/lib/docker',
  '/var/lib/mesos',
  '/var/lib/openebs',
  '/var/local',
  '/var/log',
];

function isSharedFolder(root: string): boolean {
  return root.split('/').length <= 2 || SHARED_FOLDERS.includes(root);
}

/** The agent makes and removes target paths; with this Mesos would no longer check that. */
function checkTargetPathExists(exists: unknown): readonly string[] {
  if (isAbsent(exists) || exists === false) return [];
  return ['target_path_exists: leave it out, OpenEBS makes and removes the target paths itself'];
}
