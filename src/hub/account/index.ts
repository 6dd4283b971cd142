export { type AccountRow, Accounts, type SignIn } from './accounts.ts';
