package gitlab

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	gl "gitlab.com/gitlab-org/api/client-go/v2"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/events"
)

const (
	// maxBody is how large a delivery may be. GitLab sends up to 25 MB
	// (https://docs.gitlab.com/administration/instance_limits/#webhook-payload-size); a pipeline of a
	// thousand jobs has about 1 MiB, and what is larger was made to be. What it tells of is found by looking.
	maxBody = 5 << 20
	// bodyTime is how long a delivery may take to arrive.
	bodyTime = 5 * time.Second
	// answerTime is how long it may take until what was delivered is durable. GitLab waits 10 s for an
	// answer (https://docs.gitlab.com/user/project/integrations/webhooks/#webhook-receiver-requirements).
	answerTime = 8 * time.Second
	// signedWithin is how old a signature may be, and how far ahead of this machine's clock: what Standard
	// Webhooks' own libraries take.
	signedWithin = 5 * time.Minute
	// oldComment is the age at which a comment is no command any more. The bot knows the commands that
	// it has carried out for a day, so one that is delivered again is carried out once.
	oldComment = 12 * time.Hour
	// madeWithin is by how much the times may differ at which a comment was made and last changed. GitLab sets both at
	// once; a program that waits for comments to edit takes longer.
	madeWithin = 100 * time.Millisecond
	// maxID is how long the name of a delivery may be; a longer one is hashed.
	maxID = 200
)

// Room is Muster's side of the conversation on merge requests and issues.
type Room interface {
	// Receive takes what a person wrote. When it returns nil the event is durable, and may be
	// acknowledged. An event with an ID that is known already is the same event. An error that is Permanent
	// says that it can never be taken.
	Receive(ctx context.Context, e chat.Event) error
}

// Stats are counted since the start.
type Stats struct {
	Events   int64 // that were taken
	Commands int64 // likewise
	Ignored  int64 // deliveries that say nothing of interest, or cannot be taken by anybody
	Refused  int64 // requests that GitLab did not send, or that were too large or broken
	Failed   int64 // deliveries that could not be taken then
}

// counts are what Stats tells.
type counts struct{ events, commands, ignored, refused, failed atomic.Int64 }

// Stats returns what has been counted so far.
func (g *GitLab) Stats() Stats {
	c := &g.counts
	return Stats{c.events.Load(), c.commands.Load(), c.ignored.Load(), c.refused.Load(), c.failed.Load()}
}

// Handler takes what GitLab's webhooks send: POST /gitlab/webhook, from hooks of projects and of groups and from
// system hooks. Before anything is read from it a delivery has to prove that it comes from GitLab:
// by the secret token, by a signature after Standard Webhooks not older than 5 minutes, or, where both
// are configured, by both. Where neither is, everything is refused with 401.
//
// The answer is 2xx when what was delivered is durable, or nothing is to be done because of it,
// for GitLab switches hooks off that fail; 503 with Retry-After when it could not be made durable; 4xx when
// it is not what GitLab sends. A comment that is a command is looked up in GitLab before it goes to
// the room, so what counts is who wrote it and not who a delivery says did. Room may be nil: then there are
// no commands.
func (g *GitLab) Handler(intake events.Intake, room Room) http.Handler {
	if g.options.WebhookSecret == "" && len(g.signing) == 0 {
		g.log.Error("gitlab: there is neither a webhook secret nor a signing secret, so everything that is delivered is refused")
	}
	mux := http.NewServeMux()
	mux.Handle("POST /gitlab/webhook", &door{g: g, intake: intake, room: room})
	return mux
}

type door struct {
	g      *GitLab
	intake events.Intake
	room   Room
	warned atomic.Int64 // when a refusal was logged last, Unix time in seconds
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), answerTime, fmt.Errorf("it took longer than %v", answerTime))
	defer cancel()
	body, signed, status := d.g.admit(w, r)
	if status != 0 {
		d.g.counts.refused.Add(1)
		d.warn(status, r.RemoteAddr)
		w.Header().Set("Connection", "close")
		http.Error(w, http.StatusText(status), status)
		return
	}
	if object := map[string]json.RawMessage(nil); json.Unmarshal(body, &object) != nil || object == nil {
		d.g.counts.refused.Add(1)
		http.Error(w, "not a JSON object", http.StatusBadRequest)
		return
	}
	now := time.Now()
	says, err := d.g.decode(body, now)
	if err != nil {
		// GitLab did send it, and would switch the hook off if it were refused.
		d.g.log.Warn("gitlab: a delivery is left out", "event", clip(r.Header.Get("X-Gitlab-Event"), 60), "error", err)
	}
	id := deliveryID(r.Header, body, signed)
	switch err = d.take(ctx, id, says, now); {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case isPermanent(err):
		d.g.counts.ignored.Add(1)
		d.g.log.Warn("gitlab: a delivery cannot be taken, and is left out", "delivery", id, "error", err)
		w.WriteHeader(http.StatusNoContent)
	default:
		d.g.counts.failed.Add(1)
		if ctx.Err() != nil && r.Context().Err() == nil {
			err = context.Cause(ctx)
		}
		d.g.log.Warn("gitlab: a delivery could not be taken", "delivery", id, "error", err)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	}
}

// warn logs a refusal, not more than one a minute: anybody can cause them.
func (d *door) warn(status int, from string) {
	now, last := time.Now().Unix(), d.warned.Load()
	if now-last >= 60 && d.warned.CompareAndSwap(last, now) {
		d.g.log.Warn("gitlab: a delivery is refused; others within a minute are not mentioned. If it is GitLab's own, the hook has another secret than is configured here",
			"status", status, "from", from)
	}
}

// admit reads a delivery that GitLab has sent. Otherwise status says what is wrong. Signed reports
// whether its headers are covered by a signature.
func (g *GitLab) admit(w http.ResponseWriter, r *http.Request) (body []byte, signed bool, status int) {
	// A server that cannot set it has a limit of its own, or none is wanted. A server reads what is left of a
	// body that is refused, too.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	if g.options.WebhookSecret == "" && len(g.signing) == 0 {
		return nil, false, http.StatusUnauthorized
	}
	if g.options.WebhookSecret != "" && !same(r.Header.Get("X-Gitlab-Token"), g.options.WebhookSecret) {
		return nil, false, http.StatusUnauthorized
	}
	if len(g.signing) > 0 && !fresh(r.Header.Get("Webhook-Timestamp"), time.Now()) {
		return nil, false, http.StatusUnauthorized
	}
	if r.ContentLength > maxBody {
		return nil, false, http.StatusRequestEntityTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, false, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, false, http.StatusRequestTimeout
	case len(g.signing) == 0:
		return body, false, 0
	case !g.signedBy(r.Header, body):
		return nil, false, http.StatusUnauthorized
	}
	return body, true, 0
}

// same compares secrets in a time that tells nothing about either.
func same(shown, secret string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// fresh reports whether a timestamp of Standard Webhooks, Unix time in seconds, is of now.
func fresh(stamp string, now time.Time) bool {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	return err == nil && now.Sub(time.Unix(seconds, 0)).Abs() <= signedWithin
}

// signedBy reports whether one of the signatures fits one of the keys. A signature is v1, and the HMAC
// with SHA-256 of ID, timestamp and body, with dots between them; there may be several while a key
// is changed (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
func (g *GitLab) signedBy(h http.Header, body []byte) bool {
	id := h.Get("Webhook-Id")
	if id == "" {
		return false
	}
	fits := false
	for _, key := range g.signing {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.", id, h.Get("Webhook-Timestamp"))
		mac.Write(body)
		sum := mac.Sum(nil)
		for signature := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
			encoded, ok := strings.CutPrefix(signature, "v1,")
			if !ok {
				continue
			}
			given, err := base64.StdEncoding.DecodeString(encoded)
			fits = err == nil && hmac.Equal(given, sum) || fits
		}
	}
	return fits
}

// deliveryID is the name of a delivery, the same however often it is sent. GitLab gives every delivery an
// Idempotency-Key, which is also the Webhook-Id of a signed one, and the part of it that the
// signature covers; before 17.4 it has X-Gitlab-Event-UUID alone, which events have in common that
// came from each other's hooks (https://docs.gitlab.com/user/project/integrations/webhooks/#delivery-headers).
func deliveryID(h http.Header, body []byte, signed bool) string {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	id := h.Get("Idempotency-Key")
	if signed {
		id = h.Get("Webhook-Id")
	}
	if event := h.Get("X-Gitlab-Event-Uuid"); id == "" && event != "" {
		id = event + " " + digest
	}
	if id == "" {
		id = h.Get("Webhook-Id")
	}
	switch {
	case id == "":
		return digest
	case len(id) > maxID:
		sum := sha256.Sum256([]byte(id))
		return hex.EncodeToString(sum[:])
	}
	return id
}

// take hands on what a delivery says.
func (d *door) take(ctx context.Context, id string, says decoded, now time.Time) error {
	all := says.events
	if c := says.comment; c != nil {
		lines := commands(c.text)
		switch {
		case len(lines) == 0 && d.g.isSelf(ctx, c.from):
		case len(lines) == 0:
			all = append(all, c.event)
		case c.edited || d.room == nil:
		default:
			return d.converse(ctx, c, now)
		}
	}
	if len(all) == 0 {
		d.g.counts.ignored.Add(1)
		return nil
	}
	for i := range all {
		all[i].ID = id
		if i > 0 {
			all[i].ID = fmt.Sprintf("%s %d", id, i)
		}
	}
	if err := d.intake.Take(ctx, all...); err != nil {
		return err
	}
	d.g.counts.events.Add(int64(len(all)))
	return nil
}

// isSelf reports whether a username is that of Muster's own account, as far as that can be known soon.
func (g *GitLab) isSelf(ctx context.Context, username string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTime/4)
	defer cancel()
	me, err := g.me(ctx)
	return err == nil && strings.EqualFold(me.Username, username)
}

// converse hands the lines of a comment to the room that are commands. Who wrote it, and what, GitLab itself
// is asked: who may set up a hook, or change the template of one, can make a delivery say anything.
func (d *door) converse(ctx context.Context, c *comment, now time.Time) error {
	n, err := d.g.readNoteOf(ctx, c.place, c.id)
	if isGone(err) {
		d.g.counts.ignored.Add(1)
		d.g.log.Warn("gitlab: a comment with a command is not there, or not to be seen", "place", c.place, "note", c.id, "from", c.from)
		return nil
	}
	if err != nil {
		return err
	}
	me, err := d.g.me(ctx)
	if err != nil {
		return err
	}
	if edited(n) {
		d.g.counts.ignored.Add(1)
		d.g.log.Warn("gitlab: a command was edited since it was written, so it is nobody's", "place", c.place, "note", c.id, "from", n.Author.Username)
		return nil
	}
	old := n.CreatedAt == nil || now.Sub(*n.CreatedAt) > oldComment
	if n.System || n.Author.ID == me.ID || n.Author.Username == "" || old {
		d.g.counts.ignored.Add(1)
		if old {
			d.g.log.Warn("gitlab: a command is too old to be carried out", "place", c.place, "note", c.id, "from", n.Author.Username, "at", n.CreatedAt)
		}
		return nil
	}
	lines := commands(n.Body)
	for i, line := range lines {
		e := chat.Event{
			ID: fmt.Sprintf("note %d", n.ID), Time: n.CreatedAt.UTC(), From: n.Author.Username,
			Channel: c.place.String(), Thread: c.discussion, Text: line,
		}
		if i > 0 {
			e.ID = fmt.Sprintf("note %d line %d", n.ID, i+1)
		}
		if err := d.room.Receive(ctx, e); err != nil && !isPermanent(err) {
			return err
		} else if err != nil {
			d.g.log.Warn("gitlab: a command cannot be taken", "place", c.place, "note", c.id, "from", e.From, "error", err)
			continue
		}
		d.g.counts.commands.Add(1)
	}
	return nil
}

// edited reports whether a comment is not as its author wrote it, as far as GitLab tells: maintainers may edit
// what others wrote (https://docs.gitlab.com/user/discussions/#edit-a-comment).
func edited(n *gl.Note) bool {
	return n.CreatedAt != nil && n.UpdatedAt != nil && n.UpdatedAt.Sub(*n.CreatedAt) > madeWithin
}
