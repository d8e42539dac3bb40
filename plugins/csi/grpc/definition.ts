import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { loadSync, type Options, type PackageDefinition } from '@grpc/proto-loader';
import { assert } from '../../../core/assert.ts';
import { isWhole } from './wire-format.ts';

const CODEC: Options = {
  keepCase: false,
  longs: String,
  enums: String,
  /** Absent fields of a message have the values that proto3 gives them. */
  defaults: true,
  /** The name of a oneof holds the name of the field that is set. */
  oneofs: true,
};

/** Of one file by its path: reading it takes longer than anything else at the start. */
const readFiles = new Map<string, PackageDefinition>();

/**
 * The services of a .proto file, which is read once in a process.
 * @returns a service by its name with its package: `csi.v1.Identity`.
 */
export function loadServices(path: string): (name: string) => ServiceDefinition {
  const definitions = readFiles.get(path) ?? loadSync(path, CODEC);
  readFiles.set(path, definitions);
  return (name) => {
    const definition = definitions[name];
    assert(
      definition !== undefined && !('format' in definition),
      `${name} is a service of ${path}`,
    );
    return Object.fromEntries(
      Object.entries(definition).map(([method, one]) => [method, withWholeRequests(one)]),
    );
  };
}

type Method = MethodDefinition<object, object>;

/** The codec takes a string that is cut off for a shorter one: a volume of another name. */
function withWholeRequests(method: Method): Method {
  return {
    ...method,
    requestDeserialize: (bytes) => {
      if (!isWhole(bytes)) throw new Error('the message is cut off or no message');
      return method.requestDeserialize(bytes);
    },
  };
}
