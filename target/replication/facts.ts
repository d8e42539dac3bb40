/** From what a replica says of itself to what the membership machine knows of it. */
import { parseRecord } from '../../core/volume/record.ts';
import type { HelloAnswer, PromiseAnswer, PromiseMade } from '../../core/wire/frame.ts';
import type { MemberFacts, PromiseFacts } from './state.ts';

export function factsOf(hello: HelloAnswer): MemberFacts {
  return {
    ...promiseFactsOf(hello.promise),
    cache: `${hello.bootId}/${hello.mountId}`,
    copy: copyOf(hello.record),
    failed: hello.failed,
  };
}

const NO_PROMISE: PromiseFacts = { epoch: 0, instance: '', cache: '' };

export function promiseFactsOf(answer: PromiseAnswer): Pick<MemberFacts, 'promise' | 'previous'> {
  const { previous } = answer;
  return {
    promise: factsOfPromise(answer),
    previous: previous === null ? NO_PROMISE : factsOfPromise(previous),
  };
}

function factsOfPromise(made: PromiseMade): PromiseFacts {
  const { epoch, instance, bootId, mountId } = made;
  return { epoch, instance, cache: `${bootId}/${mountId}` };
}

export function copyOf(record: unknown): MemberFacts['copy'] {
  if (record === null) return null;
  try {
    const { epoch, generation, attachment } = parseRecord(record);
    return { epoch, generation, attachmentToken: attachment?.token ?? null };
  } catch {
    return null;
  }
}
