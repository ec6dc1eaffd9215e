package slack

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

type signatureVector struct {
	Secret    string `json:"signing_secret"`
	Timestamp string `json:"timestamp"`
	Body      string `json:"body"`
	Signature string `json:"signature"`
}

func readVector(t *testing.T) (v signatureVector, at time.Time) {
	t.Helper()
	if err := json.Unmarshal(samplePayload(t, "signature_vector"), &v); err != nil {
		t.Fatal(err)
	}
	sec, err := strconv.ParseInt(v.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v, time.Unix(sec, 0)
}

func samplePayload(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "payloads", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestSigned(t *testing.T) {
	v, at := readVector(t)
	for name, c := range map[string]struct {
		change func(*signatureVector)
		now    time.Time
		want   bool
	}{
		"as documented":     {now: at, want: true},
		"5 minutes old":     {now: at.Add(5 * time.Minute), want: true},
		"older":             {now: at.Add(5*time.Minute + time.Second)},
		"5 minutes early":   {now: at.Add(-5 * time.Minute), want: true},
		"earlier":           {now: at.Add(-5*time.Minute - time.Second)},
		"body":              {now: at, change: func(v *signatureVector) { v.Body += " " }},
		"no body":           {now: at, change: func(v *signatureVector) { v.Body = "" }},
		"timestamp":         {now: at, change: func(v *signatureVector) { v.Timestamp = "1531420619" }},
		"same time, spelt":  {now: at, change: func(v *signatureVector) { v.Timestamp = "+1531420618" }},
		"no timestamp":      {now: at, change: func(v *signatureVector) { v.Timestamp = "" }},
		"huge timestamp":    {now: at, change: func(v *signatureVector) { v.Timestamp = "9223372036854775807" }},
		"tiny timestamp":    {now: at, change: func(v *signatureVector) { v.Timestamp = "-9223372036854775808" }},
		"no signature":      {now: at, change: func(v *signatureVector) { v.Signature = "" }},
		"half a signature":  {now: at, change: func(v *signatureVector) { v.Signature = v.Signature[:20] }},
		"another version":   {now: at, change: func(v *signatureVector) { v.Signature = "v1" + v.Signature[2:] }},
		"another secret":    {now: at, change: func(v *signatureVector) { v.Secret += "6" }},
		"no signing secret": {now: at, change: func(v *signatureVector) { v.Secret = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			v := v
			if c.change != nil {
				c.change(&v)
			}
			why, ok := signed(v.Secret, v.Timestamp, v.Signature, []byte(v.Body), c.now)
			if ok != c.want || ok != (why == "") {
				t.Errorf("signed = %q, %v, want %v", why, ok, c.want)
			}
		})
	}
}

// Without a secret nothing is let in, not even what is signed with none.
func TestSignedWithoutSecret(t *testing.T) {
	now := time.Now()
	ts := strconv.FormatInt(now.Unix(), 10)
	if _, ok := signed("", ts, sign("", ts, "{}"), []byte("{}"), now); ok {
		t.Error("a signature made with an empty secret was accepted")
	}
}
