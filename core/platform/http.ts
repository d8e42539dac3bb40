/** The port that the typed clients speak through; platform/node implements it (unix, loopback). */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With query, e.g. `/v1/volumes?name=a`. */
  readonly path: string;
  /** JSON; absent: no body. */
  readonly body?: unknown;
  /** Deadline of the whole exchange. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Parsed JSON; null without a body. */
  readonly body: unknown;
}

export interface HttpTransport {
  /** Rejects when nothing or no whole JSON answer came (network error, deadline, too large). */
  request(request: HttpRequest): Promise<HttpResponse>;
}
