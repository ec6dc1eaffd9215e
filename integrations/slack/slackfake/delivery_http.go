package slackfake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Request is a delivery over HTTP, signed and ready to be sent. A test may change
// it first: another body keeps the signature of the one before.
type Request struct {
	Path        string
	ContentType string
	Body        []byte
	Timestamp   string
	Signature   string
	Header      http.Header // further headers
	kind        Kind
	payload     Object
}

// Sign makes the request by which Slack would deliver a payload at a time.
func (w *Workspace) Sign(kind Kind, payload Object, at time.Time) Request {
	return w.signed(kind, payload, at, 0, "")
}

// Send sends a request to the app as it is, once more if it was sent before.
func (w *Workspace) Send(r Request) (Delivery, error) {
	what, id := describe(r.kind, r.payload)
	d := &Delivery{Kind: r.kind, Type: what, ID: id, Sent: time.Now()}
	w.mu.Lock()
	app := w.app
	if app == "" {
		w.mu.Unlock()
		return Delivery{}, errors.New("slackfake: send request: deliveries go through Socket Mode")
	}
	w.deliveries = append(w.deliveries, d)
	d.N = len(w.deliveries)
	w.mu.Unlock()
	w.send(r, app, d)
	w.mu.Lock()
	defer w.mu.Unlock()
	d.Over = true
	w.touch()
	return *d, nil
}

// VerifyURL sends the challenge by which Slack finds out whether an address for events is
// the app's.
func (w *Workspace) VerifyURL() error {
	challenge := secret(16)
	r := w.signed(Events, Object{"token": "legacy-fixed-value", "challenge": challenge, "type": "url_verification"}, time.Now(), 0, "")
	d, err := w.Send(r)
	if err != nil {
		return err
	}
	var echoed struct{ Challenge string }
	if strings.TrimSpace(d.Ack) == challenge || json.Unmarshal([]byte(d.Ack), &echoed) == nil && echoed.Challenge == challenge {
		return nil
	}
	return fmt.Errorf("slackfake: verify address: status %d, and the answer does not hold the challenge %s", d.Status, d.Error)
}

func (w *Workspace) signed(kind Kind, payload Object, at time.Time, attempt int, reason string) Request {
	r := Request{kind: kind, payload: payload, Timestamp: strconv.FormatInt(at.Unix(), 10), Header: http.Header{}}
	const form = "application/x-www-form-urlencoded"
	switch kind {
	case Events:
		r.Path, r.ContentType = "/slack/events", "application/json"
		r.Body, _ = json.Marshal(payload)
	case Commands:
		v := url.Values{}
		for name, value := range payload {
			v.Set(name, fmt.Sprint(value))
		}
		r.Path, r.ContentType, r.Body = "/slack/commands", form, []byte(v.Encode())
	default:
		raw, _ := json.Marshal(payload)
		r.Path, r.ContentType, r.Body = "/slack/interactions", form, []byte(url.Values{"payload": {string(raw)}}.Encode())
	}
	if attempt > 0 {
		r.Header.Set("X-Slack-Retry-Num", strconv.Itoa(attempt))
		r.Header.Set("X-Slack-Retry-Reason", reason)
	}
	r.Signature = Signature(w.signingSecret, r.Timestamp, r.Body)
	return r
}

// Signature is Slack's signature of a request
// (docs.slack.dev/authentication/verifying-requests-from-slack).
func Signature(signingSecret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(signingSecret))
	fmt.Fprintf(mac, "v0:%s:", timestamp)
	mac.Write(body)
	return "v0=" + hex.EncodeToString(mac.Sum(nil))
}

// send makes one request, and hangs up when it is too late for an answer.
func (w *Workspace) send(r Request, app string, d *Delivery) {
	ctx, cancel := context.WithTimeout(w.stop, w.opts.AckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(app, "/")+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		w.settle(d, func(d *Delivery) { d.Error = err.Error() })
		return
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", r.ContentType)
	req.Header.Set("User-Agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
	req.Header.Set("X-Slack-Request-Timestamp", r.Timestamp)
	req.Header.Set("X-Slack-Signature", r.Signature)
	started := time.Now()
	resp, err := w.client.Do(req)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
		resp.Body.Close()
	}
	took := time.Since(started)
	w.settle(d, func(d *Delivery) {
		d.Latency = took
		if err != nil {
			if d.Error = err.Error(); ctx.Err() != nil {
				d.Error = noAnswer
			}
			return
		}
		d.Status, d.Ack, d.Acked = resp.StatusCode, string(body), resp.StatusCode == http.StatusOK
		d.final = resp.Header.Get("X-Slack-No-Retry") == "1"
		if !d.Acked {
			d.Error = "status " + resp.Status
		}
	})
}
