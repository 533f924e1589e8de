import { AuthError, type FieldFault } from '../errors.js';
import { newAccountId, newDeviceId } from '../lib/ids.js';
import type { OtpService, Proof } from '../otp/otp-service.js';
import type { DeviceCookies } from '../security/device-cookies.js';
import type { Client } from '../tokens/session-service.js';
import { createAccountChanges } from './account-changes.js';
import type { AccountPolicy, SignedIn } from './account-service.js';
import type { Profile } from './account-store.js';
import { type FirstSessionNeeds, openFirstSession, takenError } from './first-session.js';
import { noteLogin } from './note-login.js';
import { type ProfileChange, readProfile } from './profile.js';
import type { User } from './user.js';

/** A number and the code that was sent to it, as they were typed. */
export interface PhoneCode {
  phone: string;
  otp: string;
}

export interface PhoneSignInNeeds extends FirstSessionNeeds {
  otp: Pick<OtpService, 'prove'>;
  devices: DeviceCookies;
  policy: AccountPolicy;
}

export type PhoneSignIn = ReturnType<typeof createPhoneSignIn>;

/**
 * What people do with a code instead of a password.
 *
 * An account whose number was never proved (one that was imported) may have been made by anybody who knew the number:
 * it is no proof of anything until somebody proves the number, and then it is theirs. See `claim`.
 */
export function createPhoneSignIn(needs: PhoneSignInNeeds) {
  const { accounts, events, sessions, otp, devices, policy, now } = needs;
  const { changeUser, erase } = createAccountChanges(needs);

  /**
   * Makes an account and signs its owner in. That a number is registered is told to those alone who hold it. It tells
   * no limit: registrations have another one, which counts the right codes too.
   * @throws registration_closed, invalid_request, phone_taken, store_unavailable, and as `prove` does
   */
  async function register(
    { phone, otp: code, ...typed }: PhoneCode & Omit<ProfileChange, 'username'>,
    client: Client,
  ): Promise<SignedIn> {
    if (policy.registration === 'closed') throw new AuthError('registration_closed');
    const faults: FieldFault[] = [];
    const profile = readProfile(typed, policy, faults);
    if (faults.length > 0) throw new AuthError('invalid_request', { errors: faults });

    const proof = await otp.prove({ phone, purpose: 'register', code }, client);
    if (!proof.owner) return openAccount(proof, profile, client);
    const claimed = await claim(proof, proof.owner, profile, client);
    if (claimed) return { ...(await signIn(claimed, proof, client)), limit: undefined };
    proof.settle();
    throw takenError(['phone']);
  }

  async function openAccount(proof: Proof, profile: Profile, client: Client): Promise<SignedIn> {
    const account = {
      id: newAccountId(),
      email: null,
      username: null,
      phone: proof.phone,
      phoneVerified: true,
      passwordHash: null,
      firstName: profile.firstName ?? '',
      lastName: profile.lastName ?? '',
      userType: profile.userType ?? null,
      role: policy.defaultRole,
      dateJoined: now(),
    };
    const deviceId = newDeviceId();
    proof.settle();
    const { pair, user } = await openFirstSession(needs, account, client, deviceId);
    return present(user, pair, deviceId, undefined);
  }

  /**
   * Signs in by a code.
   * @throws invalid_credentials, account_disabled, store_unavailable, and as `prove` does
   */
  async function login({ phone, otp: code }: PhoneCode, client: Client): Promise<SignedIn> {
    const proof = await otp.prove({ phone, purpose: 'login', code }, client);
    const { owner } = proof;
    if (owner && !owner.isActive) {
      proof.settle();
      throw new AuthError('account_disabled');
    }
    if (owner?.phoneVerified) return signIn(owner, proof, client);
    const claimed = owner && (await claim(proof, owner, {}, client));
    if (claimed) return signIn(claimed, proof, client);
    // It was deleted, or its number changed, while the code was on its way.
    proof.settle();
    throw new AuthError('invalid_credentials');
  }

  /**
   * Gives an account whose number was never proved to whoever has just proved it, without its password, its sessions
   * and its devices, and without an e-mail address that was never verified, by which a new password could be had.
   *
   * A verified address stays, and whoever reads its mail keeps that way in: both have proved something, and only
   * they can tell which of them it is. Name, role and permissions stay as they were.
   */
  async function claim(
    { phone }: Proof,
    owner: User,
    profile: Profile,
    client: Client,
  ): Promise<User | undefined> {
    if (owner.phoneVerified) return undefined;
    const userId = owner.id;
    const reason = 'identity_verified';
    const result = await changeUser(
      userId,
      async () => {
        const event = events.prepare({ type: 'phone_verified', userId, reason, client });
        const user = await accounts.claimByPhone({ userId, phone, profile, at: now() }, event);
        return user && { user };
      },
      reason,
    );
    return result?.user;
  }

  async function signIn(owner: User, proof: Proof, client: Client): Promise<SignedIn> {
    const at = now();
    const user = await noteLogin(needs, owner, at);
    const deviceId = devices.read(client.deviceCookie, user.id) ?? newDeviceId();
    proof.settle();
    const { pair, sessionId } = await sessions.open(user, client, deviceId);
    events.record({ type: 'login', at, userId: user.id, sessionId, client });
    return present(user, pair, deviceId, proof.limit);
  }

  const present = async (
    user: User,
    pair: SignedIn['pair'],
    deviceId: string,
    limit: SignedIn['limit'],
  ): Promise<SignedIn> => ({
    user,
    permissions: await sessions.permissionsOf(user),
    pair,
    deviceCookie: devices.write(deviceId, user.id),
    limit,
  });

  /**
   * Deletes the caller's account. The code must have gone to the number that was proved there.
   * @throws store_unavailable, and as `prove` does
   */
  async function remove(user: User, { phone, otp: code }: PhoneCode, client: Client): Promise<void> {
    const ofNumber = user.phoneVerified ? user.phone : null;
    const proof = await otp.prove({ phone, purpose: 'verify', code, ofNumber }, client);
    proof.settle();
    await erase(user.id);
  }

  return { register, login, remove };
}
