import type { PublishCommandInput } from '@aws-sdk/client-sns';
import { readAwsFailure } from './aws-failure.js';
import { notUnderstood } from './http-request.js';
import { DeliveryError } from './port.js';
import type { SmsProvider } from './sms.js';

export interface SnsSettings {
  /** By default what the SDK finds: `AWS_REGION`, which Lambda sets, or the profile. */
  region?: string | undefined;
  /** A name or a number of the account's; not every country allows one. */
  senderId?: string | undefined;
  endpoint?: string;
}

/** Amazon SNS. The credentials are those that the SDK finds: a role, the environment, a profile. */
export function createSnsSms({ region, senderId, endpoint }: SnsSettings): SmsProvider {
  const attributes = makeAttributes(senderId);
  let connecting: ReturnType<typeof connect> | undefined;

  /** The SDK takes a tenth of a second to load: only who sends by it pays, and only with the first message. */
  async function connect() {
    const { PublishCommand, SNSClient } = await import('@aws-sdk/client-sns');
    // Tries are the outbox's to count.
    const client = new SNSClient({
      maxAttempts: 1,
      ...(region && { region }),
      ...(endpoint && { endpoint }),
    });
    return async (input: PublishCommandInput, abortSignal: AbortSignal) => {
      const { MessageId } = await client.send(new PublishCommand(input), { abortSignal });
      return MessageId;
    };
  }

  async function publish(input: PublishCommandInput, signal: AbortSignal): Promise<string | undefined> {
    try {
      connecting ??= connect();
      return await (await connecting)(input, signal);
    } catch (error) {
      if (signal.aborted) throw new DeliveryError('sns did not answer in time', { retryable: true });
      throw readAwsFailure('sns', error);
    }
  }

  return {
    name: 'sns',
    async send({ to, text }, signal) {
      const messageId = await publish({ PhoneNumber: to, Message: text, ...attributes }, signal);
      if (!messageId) throw notUnderstood('sns', 200);
    },
  };
}

const makeAttributes = (senderId: string | undefined) => {
  const text = (StringValue: string) => ({ DataType: 'String', StringValue });
  return {
    MessageAttributes: {
      // The other kind, promotional, goes the cheapest way instead of the surest.
      'AWS.SNS.SMS.SMSType': text('Transactional'),
      ...(senderId !== undefined && { 'AWS.SNS.SMS.SenderID': text(senderId) }),
    },
  };
};
