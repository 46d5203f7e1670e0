import { AppError } from "../../lib/app-error.ts";
import { answers } from "../endpoint.ts";
import { always } from "../errors.ts";

export const capi = [
  answers(
    "setCapiAuthToken",
    async ({ domain, signal }, { token }) => {
      if (token === "") throw new AppError("invalid", "token cannot be empty", { field: "token" });
      await domain.setCapiAuthToken(token, signal);
      return {};
    },
    { failure: always(500, "") },
  ),
];
