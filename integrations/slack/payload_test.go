package slack

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-release/muster/bot/chat"
)

// sound fails for an event that the rest of Muster could not rely on.
func sound(t *testing.T, e chat.Event) {
	t.Helper()
	kind, id, ok := strings.Cut(e.ID, "/")
	switch {
	case !ok || kind == "" || id == "" || len(e.ID) > 2*maxIdent+10:
		t.Errorf("ID %q", e.ID)
	case e.From == "" || ident(e.From) != e.From:
		t.Errorf("from %q", e.From)
	case ident(e.Channel) != e.Channel || ident(e.Thread) != e.Thread || ident(e.Message) != e.Message:
		t.Errorf("in %q, %q, %q", e.Channel, e.Thread, e.Message)
	case e.Text != oneLine(e.Text):
		t.Errorf("text %q", e.Text)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Errorf("cannot be kept: %v", err)
	}
}

func addSamples(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "payloads", "*.json"))
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		var e envelope
		if json.Unmarshal(data, &e) == nil && len(e.Payload) > 0 {
			f.Add([]byte(e.Payload))
		}
	}
}

func FuzzEvent(f *testing.F) {
	addSamples(f)
	f.Add([]byte(`{"type":"event_callback","event_time":1e30,"event":null}`))
	f.Add([]byte(`{"type":"event_callback","event":{"type":"message","channel_type":"im","user":"U1","text":"<@U1>"}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := decodeEvent(payload, time.Now())
		if err != nil && p != (eventPayload{}) {
			t.Errorf("decoded %+v with %v", p, err)
		}
		if p.event != nil {
			sound(t, *p.event)
		}
	})
}

func FuzzCommand(f *testing.F) {
	addSamples(f)
	f.Add([]byte("user_id=U1&text=status&trigger_id=1.2&response_url=https%3A%2F%2Fx&channel_id=C1"))
	f.Add([]byte("user_id=U1&text=%ff%00"))
	f.Add([]byte("ssl_check=1"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, decode := range []func([]byte, time.Time) (commandPayload, error){decodeCommand, decodeCommandForm} {
			if c, err := decode(payload, time.Now()); err == nil && !c.probe {
				sound(t, c.event)
			}
		}
	})
}

// fuzzHost takes everything, and checks it.
type fuzzHost struct {
	t *testing.T
	*musterSide
}

func (h fuzzHost) Receive(ctx context.Context, e chat.Event) error {
	sound(h.t, e)
	return nil
}

// Whatever Slack sends as an interaction, Muster takes what is sound and answers with JSON.
func FuzzInteraction(f *testing.F) {
	addSamples(f)
	f.Add(pressSample(f, "do:1", "approve 12\n\x00", nil))
	f.Add(pressSample(f, "ask:1", `{"command":"reject 12 …"}`, nil))
	f.Add(pressSample(f, "do:1", "why", object{"view": object{"id": "V1", "type": "modal", "private_metadata": replyTo.String()}}))
	f.Add(submitSample(f, "ask", `{"command":"reject 12 …"}`, map[string]string{"words": "no"}, nil))
	f.Add(submitSample(f, "form:release", `{"wait":"…"}`, map[string]string{"module": "payments"}, nil))
	f.Add(submitSample(f, "card", `{"command":"start"}`, nil, nil))
	f.Add([]byte(`{"type":"view_submission","user":{"id":"U1"},"view":{"callback_id":"ask","private_metadata":"{\"command\":\"…\"}","state":{"values":{"words":null}}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		m := newMusterSide()
		m.fill = func(from string, f chat.Filled) (string, map[string]string) { return "release", nil }
		d := m.door()
		d.host = fuzzHost{t, m}
		a := d.interaction(t.Context(), payload)
		if a.again {
			t.Error("not acknowledged")
		}
		if _, err := json.Marshal(a.body); err != nil {
			t.Errorf("acknowledgement: %v", err)
		}
		if a.after != nil {
			a.after()
		}
		if form, err := decodeInteractionForm(payload); err == nil {
			_, _ = decodeInteraction(form)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	addSamples(f)
	f.Add([]byte(`{"envelope_id":"x","type":17}`))
	f.Add([]byte(`{"type":"disconnect","reason":"warning"}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		e, err := decodeEnvelope(frame)
		if err == nil && e.Type == "" {
			t.Error("an envelope without a type")
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}
