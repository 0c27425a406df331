import { diskStore } from "../../src/disk.ts";
import { storeContract } from "../../src/store-contract.ts";
import { diskPlace } from "../helpers/disk-place.ts";

const log = (): null => null;

storeContract("disk", () => diskPlace((root) => diskStore({ root, log })));
storeContract("disk without durability", () => diskPlace((root) => diskStore({ root, durability: "none", log })));
