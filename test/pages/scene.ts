import { createOperator } from '../../src/accounts/operator.js';
import { type SignedUp, signUp, type TestApp } from '../support/app.js';

/** Somebody who may do everything. */
export async function superuser(scene: TestApp, fields: Record<string, unknown> = {}): Promise<SignedUp> {
  const { app, config } = scene;
  const somebody = await signUp(scene, fields);
  const operator = createOperator({
    store: app.database.userAdmin,
    accounts: app.database.accounts,
    events: app.events,
    countEvent: app.meter.countEvent,
    state: app.stateStore,
    hasher: { hash: async () => '$argon2id$none' },
    policy: config,
    readPhone: () => undefined,
    now: app.clock,
    onTrouble: (error) => {
      throw error;
    },
  });
  await operator.change(somebody.user.id, { isSuperuser: true });
  return somebody;
}
