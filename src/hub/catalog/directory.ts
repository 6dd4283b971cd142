import type { AccountRow, Accounts } from '#hub/account/index.ts';
import type { AccessToken } from '#hub/protocol/index.ts';
import type { AccountDirectory, Right, Subject } from '#registry/server/index.ts';
import type { Catalog } from './catalog.ts';
import { decideRights } from './policy.ts';

/** Called when a container client signs in. */
export type SignInListener = (account: AccountRow) => void;

/** The hub's accounts and repository settings as the registry and its token service ask for them. */
export class HubDirectory implements AccountDirectory {
  readonly #accounts: Accounts;
  readonly #catalog: Catalog;
  readonly #onSignIn: SignInListener;

  constructor(accounts: Accounts, catalog: Catalog, onSignIn: SignInListener = () => {}) {
    this.#accounts = accounts;
    this.#catalog = catalog;
    this.#onSignIn = onSignIn;
  }

  async verifyPassword(name: string, secret: string): Promise<Subject | undefined> {
    const signIn = await this.#accounts.verifyClient(name, secret);
    if (signIn === undefined) return undefined;
    await this.#accounts.noteClientSignIn(signIn.account);
    this.#onSignIn(signIn.account);
    return {
      name: signIn.account.username,
      ...(signIn.token === undefined ? {} : { credential: signIn.token.id }),
    };
  }

  async rightsOf(subject: Subject, repository: string, tag?: string): Promise<ReadonlySet<Right>> {
    const [account, token, settings] = await Promise.all([
      subject.name === '' ? undefined : this.#accounts.findByName(subject.name),
      this.#tokenOf(subject),
      this.#catalog.findSettings(repository),
    ]);
    // A token that was revoked since takes everything with it that was made from it.
    if (token === 'revoked')
      return decideRights({ account: undefined, token: undefined, repository, tag, settings });
    return decideRights({ account, token, repository, tag, settings });
  }

  async #tokenOf(subject: Subject): Promise<AccessToken | 'revoked' | undefined> {
    if (subject.credential === undefined) return undefined;
    return (await this.#accounts.findUsableToken(subject.credential)) ?? 'revoked';
  }
}
