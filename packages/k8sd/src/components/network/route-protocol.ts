/** Number in the kernel's field for who made a route: those with ours alone are looked at, changed and taken away. */
export const routeProtocol = "107";
