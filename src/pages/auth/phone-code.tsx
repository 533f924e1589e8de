import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { OtpPurpose } from '../../contract/otp.js';
import { fill, formatSeconds, useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { client } from '../session.js';
import { phoneTexts } from '../texts/phone.js';
import { Button } from '../ui/button.js';
import { Field } from '../ui/field.js';
import { Form, type FormState, type Values } from '../ui/form.js';
import { Notice } from '../ui/notice.js';

interface PhoneCodeProps {
  purpose: OtpPurpose;
  /** A number that is known already, so that only the code is asked for. */
  phone?: string;
  /** What the last button does. */
  action: string;
  danger?: boolean;
  /** Sends number and code, with whatever else the second form holds. */
  onCode: (proof: { phone: string; otp: string }, values: Values) => Promise<void>;
  required?: readonly string[];
  /** More fields, below the code. */
  children?: (state: FormState) => ComponentChildren;
}

interface Sent {
  phone: string;
  /** When another one may be asked for (ms). */
  resendAt: number;
}

/** Two steps: a number, to which a code is sent; then the code. */
export function PhoneCode({ phone, ...props }: PhoneCodeProps) {
  const [sent, setSent] = useState<Sent>();
  const send = async (to: string): Promise<void> => {
    const { resend_in } = await client.sendOtp({ phone: to, purpose: props.purpose });
    setSent({ phone: to, resendAt: Date.now() + resend_in * 1000 });
  };
  return sent ? (
    <CodeStep
      key={sent.resendAt}
      {...props}
      sent={sent}
      send={send}
      onBack={phone ? undefined : () => setSent(undefined)}
    />
  ) : (
    <NumberStep phone={phone} send={send} />
  );
}

function NumberStep({ phone, send }: { phone: string | undefined; send: (to: string) => Promise<void> }) {
  const texts = useTexts(phoneTexts);
  return (
    <Form required={phone ? [] : ['phone']} onSubmit={(values) => send(phone ?? (values.phone as string))}>
      {({ faults, busy }) => (
        <>
          {phone ? (
            <p class="muted">{fillLatin(texts.willSend, phone)}</p>
          ) : (
            <Field
              name="phone"
              type="tel"
              inputMode="tel"
              autocomplete="tel"
              latin
              label={texts.phone}
              hint={texts.phoneHint}
              fault={faults.phone}
            />
          )}
          <Button type="submit" kind="primary" wide busy={busy}>
            {texts.send}
          </Button>
        </>
      )}
    </Form>
  );
}

interface CodeStepProps extends Omit<PhoneCodeProps, 'phone' | 'purpose'> {
  sent: Sent;
  send: (to: string) => Promise<void>;
  onBack: (() => void) | undefined;
}

function CodeStep({ sent, send, onBack, onCode, action, danger, required = [], children }: CodeStepProps) {
  const texts = useTexts(phoneTexts);
  const code = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const input = code.current?.querySelector('input');
    input?.focus();
    return input ? readCodeFromMessage(input) : undefined;
  }, []);

  const submit = (values: Values) =>
    onCode({ phone: sent.phone, otp: (values.otp as string).replace(/\s/g, '') }, values);
  /** Nobody needs to press a button after the last digit, unless there is more to fill in. */
  const goOn = (event: InputEvent) => {
    const input = event.target as HTMLInputElement;
    const isComplete = input.value.replace(/\D/g, '').length === settings.otpLength;
    if (!children && isComplete && /^\d+$/.test(input.value)) input.form?.requestSubmit();
  };

  return (
    <div class="stack">
      <Form required={['otp', ...required]} onSubmit={submit}>
        {(state) => (
          <>
            <Notice kind="info">
              <p>{fillLatin(texts.sent, sent.phone)}</p>
            </Notice>
            <div ref={code}>
              <Field
                name="otp"
                class="code-input"
                inputMode="numeric"
                autocomplete="one-time-code"
                maxLength={32}
                latin
                label={texts.code}
                fault={state.faults.otp}
                onInput={goOn}
              />
            </div>
            {children?.(state)}
            <Button type="submit" kind={danger ? 'danger' : 'primary'} wide busy={state.busy}>
              {action}
            </Button>
          </>
        )}
      </Form>
      <Form class="row between" onSubmit={() => send(sent.phone)}>
        {({ busy }) => (
          <>
            <ResendButton at={sent.resendAt} busy={busy} />
            {onBack && (
              <Button kind="link" onClick={onBack}>
                {texts.otherNumber}
              </Button>
            )}
          </>
        )}
      </Form>
    </div>
  );
}

function ResendButton({ at, busy }: { at: number; busy: boolean }) {
  const texts = useTexts(phoneTexts);
  const left = useSecondsUntil(at);
  return (
    <Button type="submit" kind="link" busy={busy} disabled={left > 0}>
      {left > 0 ? fill(texts.resendIn, { time: formatSeconds(left) }) : texts.resend}
    </Button>
  );
}

function useSecondsUntil(at: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return Math.max(0, Math.ceil((at - now) / 1000));
}

/** A number within a sentence keeps its own direction. */
function fillLatin(text: string, phone: string) {
  const [before, after] = text.split('{phone}');
  return (
    <>
      {before}
      <span class="latin">{phone}</span>
      {after}
    </>
  );
}

/** WebOTP: a browser that can read the message offers to fill in the code. Until the returned function is called. */
function readCodeFromMessage(input: HTMLInputElement): (() => void) | undefined {
  if (!('OTPCredential' in window)) return undefined;
  const stop = new AbortController();
  const asked = { otp: { transport: ['sms'] }, signal: stop.signal } as CredentialRequestOptions;
  navigator.credentials
    .get(asked)
    .then((credential) => {
      input.value = (credential as unknown as { code: string } | null)?.code ?? '';
      input.dispatchEvent(new InputEvent('input', { bubbles: true }));
    })
    // Refused, or not to be had: there is the keyboard.
    .catch(() => undefined);
  return () => stop.abort();
}
