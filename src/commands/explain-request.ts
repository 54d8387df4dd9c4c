/** A callback as somebody saved it: a body, or a whole HTTP request; and what is wrong with a body that is no JSON. */

export interface SavedRequest {
  /** `null` where only the body is known. */
  method: string | null;
  path: string | null;
  /** Without its `?`; `null` where it is not known. */
  querystring: string | null;
  contentEncoding: string | undefined;
  /** As the header says it, with a chunked body `null`; `undefined` where there are no headers. */
  contentLength: number | null | undefined;
  body: string;
}

/** `POST /?SdkAppid=1400000001 HTTP/1.1` and what follows it; `null` for a text that does not begin so. */
export function parseRequest(text: string): SavedRequest | null {
  const [, method, target, rest] = /^\s*([A-Z]+) (\S+) HTTP\/\d(?:\.\d)?\r?\n([\s\S]*)$/.exec(text) ?? [];
  if (method === undefined || target === undefined || rest === undefined) return null;
  const [, head = '', body = ''] = /^((?:[^\r\n]+(?:\r?\n|$))*)(?:\r?\n)?([\s\S]*)$/.exec(rest) ?? [];
  const headers = new Map(
    Array.from(head.matchAll(/^([^:\r\n]+):[ \t]*(.*?)[ \t]*\r?$/gm), ([, name, value]) => [
      name!.toLowerCase(),
      value!,
    ]),
  );
  const [, path, querystring] = /^(?:\w+:\/\/[^/?]*)?([^?#]*)\??([^#]*)/.exec(target)!;
  const contentLength = headers.get('content-length');
  return {
    method,
    path: path || '/',
    querystring: querystring!,
    contentEncoding: headers.get('content-encoding'),
    contentLength: contentLength === undefined ? null : Number(contentLength),
    body,
  };
}

/** Why a body is no JSON object, in words that quote nothing of it. */
export function describeMalformed({ body, contentLength }: SavedRequest): string {
  if (body.trim() === '') return 'the body is empty';
  if (contentLength === null && /^[0-9a-f]+(;.*)?\r?\n/i.test(body)) {
    return 'the body is in chunks, as it came over the wire: save it decoded';
  }
  const problem = jsonProblem(body);
  if (problem === null) return 'the body is JSON, but not an object';
  const [mended, isCommented] = withoutComments(body);
  if (isCommented) {
    const left = jsonProblem(mended);
    const hint =
      left === null
        ? 'without them it is JSON'
        : `without them it still is none: ${left}; Tencent's sample also lacks a comma before EventTime`;
    return `the body has // comments, as the sample on Tencent's page, which JSON does not allow: remove them; ${hint}`;
  }
  const bytes = Buffer.byteLength(body);
  if (typeof contentLength === 'number' && bytes < contentLength) {
    return `the body is cut: it has ${bytes} bytes, and Content-Length says ${contentLength}`;
  }
  return `the body is not JSON: ${problem}`;
}

/** `null`: it is JSON. Of V8's message only what quotes nothing: `Expected ',' … (line 3 column 7)`. */
function jsonProblem(text: string): string | null {
  try {
    JSON.parse(text.replace(/^\uFEFF/, ''));
    return null;
  } catch (error) {
    const { message } = error as SyntaxError;
    const [, what, where] =
      /^([^"]*?) (?:in|after) JSON at position \d+ (\(line \d+ column \d+\))$/.exec(message) ?? [];
    if (what !== undefined) return `${what} ${where}`;
    return /end of JSON/.test(message) ? 'it ends too early' : 'a character stands where JSON has none';
  }
}

/** A comment begins outside of strings only. */
function withoutComments(text: string): [mended: string, isCommented: boolean] {
  let isCommented = false;
  const mended = text.replace(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*/g, part => {
    if (part.startsWith('"')) return part;
    isCommented = true;
    return '';
  });
  return [mended, isCommented];
}
