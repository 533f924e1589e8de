import { useState } from 'preact/hooks';
import type { AuthError, Session } from '../../client/auth-client.js';
import { useLoaded } from '../data.js';
import { fill, formatAgo, formatTime, getLocale, useLocale, useTexts } from '../locale.js';
import { client } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { sayDevice } from '../texts/devices.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { Dialog } from '../ui/dialog.js';
import { DialogActions } from '../ui/dialog-actions.js';
import { Latin } from '../ui/event-list.js';
import { Form, ProblemNotice } from '../ui/form.js';
import { LaptopIcon, PhoneIcon } from '../ui/icons.js';
import { Notice } from '../ui/notice.js';
import { Bones, Section } from '../ui/section.js';

export function Devices({ changes, onChanged }: { changes: number; onChanged: () => void }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(accountTexts) };
  const { data, problem } = useLoaded(client.sessions, String(changes));
  const [isOpen, setOpen] = useState(false);
  const [failure, setFailure] = useState<AuthError>();
  const [said, setSaid] = useState<string>();
  const sorted = data?.toSorted(
    (a, b) => Number(b.current) - Number(a.current) || b.last_used_at.localeCompare(a.last_used_at),
  );

  const end = async (session: Session) => {
    setFailure(undefined);
    setSaid(undefined);
    try {
      await client.endSession(session.id);
      setSaid(fill(texts.signedOutDevice, { device: sayDevice(session.device, getLocale()) }));
    } catch (error) {
      // It was signed out elsewhere meanwhile: that is what was wanted.
      if ((error as AuthError).code !== 'not_found') setFailure(error as AuthError);
    }
    onChanged();
  };
  return (
    <Section
      id="devices"
      title={texts.devices}
      lead={texts.devicesLead}
      action={
        <Button kind="warning" onClick={() => setOpen(true)}>
          {texts.signOutAll}
        </Button>
      }
    >
      <div class="stack">
        {(failure ?? problem) && <ProblemNotice problem={(failure ?? problem) as AuthError} />}
        {said && <Notice kind="good">{said}</Notice>}
        {sorted ? <SessionList sessions={sorted} onEnd={end} /> : !problem && <Bones lines={2} />}
      </div>
      {isOpen && <EndAll onClose={() => setOpen(false)} />}
    </Section>
  );
}

interface SessionListProps {
  sessions: readonly Session[];
  onEnd: (session: Session) => Promise<void>;
}

/** Open sessions, one below the other; the one that is asking has no button. */
export function SessionList({ sessions, onEnd }: SessionListProps) {
  const texts = useTexts(accountTexts);
  const locale = useLocale();
  const [ending, setEnding] = useState<string>();
  const end = async (session: Session) => {
    setEnding(session.id);
    await onEnd(session);
    setEnding(undefined);
  };
  return (
    <ul class="list">
      {sessions.map((session) => (
        <li key={session.id}>
          <div class="item">
            <div class={`item-icon ${session.current ? 'good' : ''}`}>
              {/Android|iPhone|iPad/.test(session.device) ? <PhoneIcon /> : <LaptopIcon />}
            </div>
            <div>
              <p class="item-title">
                <bdi>{sayDevice(session.device, locale)}</bdi>
                {session.current && <span class="badge good">{texts.thisDevice}</span>}
              </p>
              <p class="facts">
                <span>{fill(texts.signedIn, { time: formatTime(session.created_at) })}</span>
                <span>{fill(texts.lastUsed, { time: formatAgo(session.last_used_at) })}</span>
                <Latin text={session.ip} />
              </p>
            </div>
          </div>
          {!session.current && (
            <Button
              small
              busy={ending === session.id}
              aria-label={fill(texts.signOutDeviceLong, {
                device: sayDevice(session.device, locale),
                time: formatTime(session.created_at),
              })}
              onClick={() => void end(session)}
            >
              {texts.signOutDevice}
            </Button>
          )}
        </li>
      ))}
    </ul>
  );
}

function EndAll({ onClose }: { onClose: () => void }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(accountTexts) };
  return (
    <Dialog title={texts.signOutAllTitle} onClose={onClose}>
      <p class="muted">{texts.signOutAllLead}</p>
      <Form onSubmit={() => client.logoutAll()}>
        {({ busy }) => (
          <DialogActions busy={busy} onCancel={onClose} dangerous>
            {texts.signOutAll}
          </DialogActions>
        )}
      </Form>
    </Dialog>
  );
}
