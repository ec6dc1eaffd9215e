package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errSharing is ERROR_SHARING_VIOLATION, see
// https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499-.
const errSharing = syscall.Errno(32)

// lockDir makes dir belong to this process until the file is closed or the
// process ends, in whatever way: the file is opened without sharing.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", dir, err)
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharing) {
		return nil, fmt.Errorf("%q is in use by another process; stop it, or choose another directory", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", dir, err)
	}
	return os.NewFile(uintptr(h), path), nil
}

// syncDir has nothing to do: Windows makes the creation of a file durable with
// the file.
func syncDir(string) error { return nil }
