import { diskStore } from "../../src/disk.ts";
import { storeContract } from "../../src/store-contract.ts";
import { CONTRACT_OPTIONS, diskPlace } from "../helpers/disk-place.ts";

const log = (): null => null;

storeContract("disk", () => diskPlace((root) => diskStore({ root, log })), CONTRACT_OPTIONS);
storeContract(
  "disk without durability",
  () => diskPlace((root) => diskStore({ root, durability: "none", log })),
  CONTRACT_OPTIONS,
);
