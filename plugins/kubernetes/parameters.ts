/**
 * What a StorageClass asks of its volumes: the options of every front door, or what OpenEBS called
 * them before. Two words for one thing must agree; a word that nobody knows is named back.
 */
import { type ApiError, apiError } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { parseVolumeSize } from '../../core/units.ts';

/** Historical parameters (OpenEBS 0.5), and that of CSI, with the options that they are now. */
const OTHER_PARAMETERS = new Map([
  ['openebs.io/jiva-replica-count', 'replicas'],
  ['openebs.io/storage-pool', 'pool'],
  ['openebs.io/fstype', 'fs'],
  ['csi.storage.k8s.io/fstype', 'fs'],
]);
/** Historical policies (OpenEBS 0.7): `- name: ReplicaCount`. */
const POLICIES = new Map([
  ['ReplicaCount', 'replicas'],
  ['StoragePool', 'pool'],
  ['FSType', 'fs'],
]);
/** Once a default size. A claim always says how much it wants, and that counts. */
const CAPACITY = 'openebs.io/capacity';

const OPTIONS = ['replicas', 'fs', 'fsOptions', 'pool', 'nodes', 'zones'] as const;

export interface Asked {
  /** Of the class. */
  readonly parameters: Readonly<Record<string, string>>;
  /** YAML of `cas.openebs.io/config`, of the class and then of the claim, which wins. */
  readonly policies: readonly string[];
}

export type ParseYaml = (text: string) => unknown;

/**
 * The options, still as text, by the names of core/api/options.ts.
 * @throws ApiError badRequest with one sentence: what is wrong, and what would be right.
 */
export function optionsOf(
  { parameters, policies }: Asked,
  parseYaml: ParseYaml,
): Readonly<Record<string, string>> {
  const given = new Map<string, { readonly value: string; readonly by: string }>();
  const take = (option: string, value: string, by: string) => {
    const before = given.get(option);
    if (before !== undefined && before.value !== value) {
      const [one, other] = [`${before.by}=${shown(before.value)}`, `${by}=${shown(value)}`];
      throw wrong(`${one} and ${other} contradict each other`);
    }
    given.set(option, { value, by });
  };
  for (const [name, value] of Object.entries(parameters)) {
    const option = optionOfParameter(name, value);
    if (option !== null) take(option, value, `parameter ${name}`);
  }
  for (const [name, value] of mergedPolicies(policies, parseYaml)) {
    take(optionOfPolicy(name), value, `policy ${name}`);
  }
  return Object.fromEntries([...given].map(([option, { value }]) => [option, value]));
}

/** Null: it says nothing that counts. */
function optionOfParameter(name: string, value: string): string | null {
  if (name === CAPACITY) return checkedCapacity(value);
  if (name === 'size') {
    throw wrong('parameter size has no place in a class: the claim says how much it wants');
  }
  const option = OTHER_PARAMETERS.get(name) ?? OPTIONS.find((candidate) => candidate === name);
  if (option !== undefined) return option;
  const known = [...OPTIONS, ...OTHER_PARAMETERS.keys(), CAPACITY].join(', ');
  throw wrong(`parameter ${shown(name)} is unknown; valid parameters: ${known}`);
}

function checkedCapacity(value: string): null {
  try {
    parseVolumeSize(value);
    return null;
  } catch (error) {
    throw wrong(`parameter ${CAPACITY}: ${messageOf(error)}`);
  }
}

function optionOfPolicy(name: string): string {
  const option = POLICIES.get(name);
  if (option !== undefined) return option;
  const known = [...POLICIES.keys()].join(', ');
  throw wrong(`policy ${shown(name)} of cas.openebs.io/config is unknown; valid: ${known}`);
}

/** Later ones go before earlier ones, name by name. */
function mergedPolicies(texts: readonly string[], parse: ParseYaml): ReadonlyMap<string, string> {
  const policies = texts.flatMap((text) => policiesOf(text, parse));
  return new Map(policies.map(({ name, value }) => [name, value]));
}

type Policy = { readonly name: string; readonly value: string };

function policiesOf(text: string, parse: ParseYaml): readonly Policy[] {
  const value = parsed(text, parse) ?? [];
  if (Array.isArray(value)) return value.map(policyOf);
  throw wrong('annotation cas.openebs.io/config is not a list of policies with name and value');
}

function parsed(text: string, parse: ParseYaml): unknown {
  try {
    return parse(text);
  } catch (error) {
    const [line = ''] = messageOf(error).split('\n');
    throw wrong(`annotation cas.openebs.io/config is not YAML: ${line}`);
  }
}

function policyOf(entry: unknown): Policy {
  if (typeof entry === 'object' && entry !== null && 'name' in entry && 'value' in entry) {
    const { name, value } = entry;
    const isPlain = typeof value === 'string' || typeof value === 'number';
    if (typeof name === 'string' && isPlain) return { name, value: `${value}` };
  }
  throw wrong('a policy of cas.openebs.io/config is not a name with one value');
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

function wrong(detail: string): ApiError {
  return apiError('badRequest', detail);
}
