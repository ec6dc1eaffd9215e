package configs

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "***"

// Secret is a value that nothing prints, logs or marshals: it shows as *** to
// all of them. Only Reveal gives it away. The zero Secret holds nothing.
type Secret struct {
	// A closure and not a string, because fmt and dumping libraries reach into
	// unexported fields, where they call no method.
	reveal func() string
}

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	return Secret{reveal: func() string { return value }}
}

// Reveal returns the value itself. Hand it on to whoever needs it, and keep it
// out of errors and logs.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// String returns ***.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and serves JSON and XML.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML writes ***.
func (Secret) MarshalYAML() (any, error) { return redacted, nil }
