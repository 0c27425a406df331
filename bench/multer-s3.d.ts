declare module "multer-s3" {
  import type { S3Client } from "@aws-sdk/client-s3";
  import type { StorageEngine } from "multer";

  /** multer-s3 has no types; these are the ones that the benchmark needs. */
  export default function multerS3(options: { readonly s3: S3Client; readonly bucket: string }): StorageEngine;
}
