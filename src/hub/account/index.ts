export { type AccountRow, Accounts, type SignIn } from './accounts.ts';
export {
  type DeviceLoginState,
  DeviceLogins,
  type PendingDeviceLogin,
  type StartedDeviceLogin,
} from './device-logins.ts';
export type { AccountTables } from './schema.ts';
