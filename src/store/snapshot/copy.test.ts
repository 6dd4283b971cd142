import { testSnapshotStore } from './snapshot.contract.ts';

testSnapshotStore('copy');
