/** Anything thrown, as the `Problem` that the caller gets. */
import { API_ERROR_STATUS, ApiError, type Problem } from '../../core/api/index.ts';
import { codeOf, messageOf } from '../../core/errors.ts';

export interface ProblemAnswer {
  readonly status: number;
  readonly problem: Problem;
  /** A bug, or something of the system that no sentence was prepared for. */
  readonly isUnexpected: boolean;
}

export function problemOf(error: unknown): ProblemAnswer {
  if (error instanceof ApiError) {
    return { status: error.status, problem: error.data, isUnexpected: error.code === 'internal' };
  }
  if (error instanceof URIError) {
    return answer({ code: 'badRequest', detail: `path: ${messageOf(error)}` }, false);
  }
  const parsing = parsingProblem(error);
  if (parsing !== null) return answer(parsing, false);
  if (codeOf(error) === 'ENOSPC') {
    return answer({ code: 'noSpace', detail: messageOf(error) }, true);
  }
  return answer({ code: 'internal', detail: messageOf(error) }, true);
}

/** The errors of express's body parser carry a `type`. */
function parsingProblem(error: unknown): Problem | null {
  if (typeof error !== 'object' || error === null || !('type' in error)) return null;
  switch (error.type) {
    case 'entity.too.large':
      return { code: 'badRequest', detail: 'body: too large' };
    case 'entity.parse.failed':
    case 'encoding.unsupported':
    case 'charset.unsupported':
    case 'request.size.invalid':
    case 'request.aborted':
      return { code: 'badRequest', detail: `body: not JSON (${messageOf(error)})` };
    default:
      return null;
  }
}

function answer(problem: Problem, isUnexpected: boolean): ProblemAnswer {
  return { status: API_ERROR_STATUS[problem.code], problem, isUnexpected };
}
