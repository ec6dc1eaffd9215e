//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package bolt

import "os"

// unlock does nothing: here a lock that bbolt did not give back ends with the
// process.
func unlock(*os.File) {}
