import { judgeStatus, notUnderstood } from './http-request.js';
import { DeliveryError } from './port.js';

/** `Throttled`, `KMSThrottling`, `ThrottlingException` … come with HTTP 400. */
const THROTTLED = /throttl|toomanyrequests|requestlimitexceeded|slowdown/i;

/** The SDK sets its clock by such an answer, and asks for new credentials: the next try may be right. */
const STALE = /^(ExpiredToken|RequestExpired|RequestTimeTooSkewed|SignatureDoesNotMatch|InvalidSignature)/;

/**
 * What an error of the AWS SDK says of a failure. Its messages quote who the message was for, so only the name and
 * the status are told. `isOfAccount` knows the names that come with HTTP 400 and are no fault of the message.
 */
export function readAwsFailure(
  provider: string,
  error: unknown,
  isOfAccount: (name: string) => boolean = () => false,
): DeliveryError {
  const { name, code, $metadata } = error as {
    name?: unknown;
    code?: unknown;
    $metadata?: { httpStatusCode?: number };
  };
  const isWord = (text: unknown): text is string =>
    typeof text === 'string' && /^[A-Za-z][\w.]{0,60}$/.test(text);
  const what = [code, name].find(isWord) ?? 'unknown';
  const status = $metadata?.httpStatusCode;
  if (status === undefined) {
    return new DeliveryError(`${provider} could not be asked (${what})`, { retryable: true });
  }
  if (status < 300) return notUnderstood(provider, status);
  const passes = THROTTLED.test(what) || STALE.test(what);
  const judgement = isOfAccount(what) ? { retryable: false, ofProvider: true } : judgeStatus(status);
  return new DeliveryError(
    `${provider} answered ${status} (${what})`,
    passes ? { retryable: true } : judgement,
  );
}
