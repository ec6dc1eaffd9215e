package slackfake

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody is the largest request that is read.
const maxBody = 4 << 20

// args are the arguments of a call; what is not a string is kept as JSON.
type args map[string]string

func (a args) json(name string, into any) bool {
	return a[name] == "" || json.Unmarshal([]byte(a[name]), into) == nil
}

func (a args) flag(name string) bool { return a[name] == "true" || a[name] == "1" }

func (a args) number(name string, usual, most int) int {
	if n, err := strconv.Atoi(a[name]); err == nil && n > 0 {
		return min(n, most)
	}
	return usual
}

// problem is an error in Slack's words.
type problem struct {
	code     string
	messages []string // of response_metadata
	needed   string   // of missing_scope
}

func fails(code string) *problem { return &problem{code: code} }

// method is one of the Web API. It is called with the lock held.
type method struct {
	appToken bool
	scope    func(*Workspace, args) string // what the token needs; "" nothing
	call     func(*Workspace, args) (Object, *problem)
}

func needs(scope string) func(*Workspace, args) string {
	return func(*Workspace, args) string { return scope }
}

func methods() map[string]method {
	return map[string]method{
		"auth.test":             {call: (*Workspace).authTest},
		"apps.connections.open": {call: (*Workspace).connectionsOpen, appToken: true},
		"chat.postMessage":      {call: (*Workspace).postMessage, scope: needs("chat:write")},
		"chat.update":           {call: (*Workspace).update, scope: needs("chat:write")},
		"chat.postEphemeral":    {call: (*Workspace).postEphemeral, scope: needs("chat:write")},
		"chat.delete":           {call: (*Workspace).deleteMessage, scope: needs("chat:write")},
		"conversations.open":    {call: (*Workspace).conversationsOpen, scope: needs("im:write")},
		"conversations.info":    {call: (*Workspace).conversationsInfo, scope: ofChannel("read")},
		"conversations.list":    {call: (*Workspace).conversationsList, scope: ofTypes},
		"users.conversations":   {call: (*Workspace).usersConversations, scope: ofTypes},
		"conversations.history": {call: (*Workspace).history, scope: ofChannel("history")},
		"conversations.replies": {call: (*Workspace).replies, scope: ofChannel("history")},
		"users.info":            {call: (*Workspace).usersInfo, scope: needs("users:read")},
		"users.lookupByEmail":   {call: (*Workspace).lookupByEmail, scope: needs("users:read.email")},
		"usergroups.list":       {call: (*Workspace).usergroupsList, scope: needs("usergroups:read")},
		"usergroups.users.list": {call: (*Workspace).usergroupsUsers, scope: needs("usergroups:read")},
		"views.open":            {call: (*Workspace).viewsOpen},
		"views.update":          {call: (*Workspace).viewsUpdate},
		"team.info":             {call: (*Workspace).teamInfo, scope: needs("team:read")},
	}
}

// AllScopes are the bot scopes that some method or event of the fake asks for.
func AllScopes() []string {
	return []string{
		"app_mentions:read", "channels:history", "channels:read", "chat:write", "commands", "groups:history", "groups:read",
		"im:history", "im:read", "im:write", "mpim:history", "mpim:read", "team:read", "usergroups:read", "users:read", "users:read.email",
	}
}

func (w *Workspace) handler() http.Handler {
	mux := http.NewServeMux()
	known := methods()
	mux.HandleFunc("/api/{method}", func(rw http.ResponseWriter, r *http.Request) { w.serveAPI(rw, r, known) })
	mux.HandleFunc("POST /commands/{team}/{id}/{secret}", w.serveResponseURL)
	mux.HandleFunc("POST /actions/{team}/{id}/{secret}", w.serveResponseURL)
	mux.HandleFunc("GET /link/", w.serveSocket)
	mux.HandleFunc("GET /{$}", w.servePage)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		if w.closed {
			w.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		w.work.Add(1)
		w.mu.Unlock()
		defer w.work.Done()
		mux.ServeHTTP(rw, r)
	})
}

func (w *Workspace) serveAPI(rw http.ResponseWriter, r *http.Request, known map[string]method) {
	name := r.PathValue("method")
	token, a, bad := readArgs(r)
	channel := a["channel"]
	w.mu.Lock()
	if c := w.find(channel); c != nil {
		channel = c.ID
	}
	w.mu.Unlock()
	call := Call{Method: name, Channel: channel, User: a["user"] + a["users"], TS: a["ts"], Thread: a["thread_ts"], Key: keyOf(a)}
	call, fault := w.arrive(call)
	if !w.before(rw, r, call, fault) {
		return
	}
	m, found := known[name]
	var (
		answer Object
		p      *problem
		wait   time.Duration
	)
	w.mu.Lock()
	switch granted := w.scopes; {
	case bad != "":
		p = fails(bad)
	case !found:
		p = fails("unknown_method")
	default:
		if p = w.authorise(token, m.appToken); p != nil {
			break
		}
		if !m.appToken {
			rw.Header().Set("X-OAuth-Scopes", strings.Join(granted, ","))
		}
		if wait = w.admit(name, channel); wait > 0 {
			break
		}
		if m.scope != nil {
			need := m.scope(w, a)
			rw.Header().Set("X-Accepted-OAuth-Scopes", need)
			if need != "" && !slices.Contains(granted, need) {
				p = &problem{code: "missing_scope", needed: need}
				break
			}
		}
		answer, p = m.call(w, a)
	}
	provided := strings.Join(w.scopes, ",")
	w.mu.Unlock()

	if wait > 0 {
		w.tooMany(rw, call, int(math.Ceil(wait.Seconds())))
		return
	}
	ts, _ := answer["ts"].(string)
	if p != nil {
		answer = Object{"ok": false, "error": p.code}
		if p.needed != "" {
			answer["needed"], answer["provided"] = p.needed, provided
		}
		if len(p.messages) > 0 {
			var plain []string
			for _, m := range p.messages {
				plain = append(plain, strings.TrimPrefix(m, "[ERROR] "))
			}
			answer["errors"] = plain
			answer["response_metadata"] = Object{"messages": p.messages}
		}
	} else {
		answer["ok"] = true
	}
	if !w.after(r, call, fault, ts) {
		panic(http.ErrAbortHandler)
	}
	w.write(rw, call, http.StatusOK, answer, ts)
}

// before carries out the faults that come before the effect. When it returns false the
// call is over.
func (w *Workspace) before(rw http.ResponseWriter, r *http.Request, c Call, f Fault) bool {
	if f.Delay > 0 {
		w.pause(r.Context(), f.Delay)
	}
	switch f.Kind {
	case ServerError:
		w.over(c.N, http.StatusInternalServerError, "", "")
		http.Error(rw, "Internal Server Error", http.StatusInternalServerError)
	case Hang:
		w.pause(r.Context(), math.MaxInt64)
		w.over(c.N, 0, "", "")
		panic(http.ErrAbortHandler)
	case Refused:
		w.over(c.N, 0, "", "")
		panic(http.ErrAbortHandler)
	case Limited:
		w.refuse(rw, c, max(1, f.RetryAfter))
	case Fails:
		w.write(rw, c, http.StatusOK, Object{"ok": false, "error": f.Error}, "")
	default:
		return true
	}
	return false
}

// after carries out the faults that come after the effect. When it returns false no answer
// may be given.
func (w *Workspace) after(r *http.Request, c Call, f Fault, ts string) bool {
	switch f.Kind {
	case LostHang:
		w.pause(r.Context(), math.MaxInt64)
	case Lost:
	default:
		return true
	}
	w.over(c.N, 0, "", ts)
	return false
}

func (w *Workspace) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-w.stop.Done():
	}
}

func (w *Workspace) write(rw http.ResponseWriter, c Call, status int, answer Object, ts string) {
	code, _ := answer["error"].(string)
	w.over(c.N, status, code, ts)
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(answer)
}

func (w *Workspace) tooMany(rw http.ResponseWriter, c Call, seconds int) {
	w.mu.Lock()
	w.limited++
	w.mu.Unlock()
	w.refuse(rw, c, seconds)
}

func (w *Workspace) refuse(rw http.ResponseWriter, c Call, seconds int) {
	rw.Header().Set("Retry-After", strconv.Itoa(seconds))
	w.write(rw, c, http.StatusTooManyRequests, Object{"ok": false, "error": "ratelimited"}, "")
}

// admit asks the tiers. Called with the lock held.
func (w *Workspace) admit(method, channel string) time.Duration {
	if w.opts.NoTiers {
		return 0
	}
	return w.tiers.admit(time.Now(), method, channel)
}

// authorise checks a token. Called with the lock held.
func (w *Workspace) authorise(token string, app bool) *problem {
	switch want, other := w.botToken, w.appToken; {
	case token == "":
		return fails("not_authed")
	case app && token == w.botToken, !app && token == w.appToken:
		return fails("not_allowed_token_type")
	case app && token != other, !app && token != want:
		return fails("invalid_auth")
	case w.revoked:
		return fails("token_revoked")
	}
	return nil
}

// readArgs reads the arguments of a call from its address and its body, which is a form or
// JSON; with JSON the token must be in a header. The last result is Slack's error.
func readArgs(r *http.Request) (token string, a args, bad string) {
	a = args{}
	take := func(v url.Values) {
		for name := range v {
			a[name] = v.Get(name)
		}
	}
	take(r.URL.Query())
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return "", a, "request_timeout"
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
	case kind == "application/json":
		var o map[string]json.RawMessage
		if json.Unmarshal(body, &o) != nil {
			bad = "invalid_json"
		}
		for name, raw := range o {
			var s string
			if json.Unmarshal(raw, &s) == nil {
				a[name] = s
			} else {
				a[name] = string(raw)
			}
		}
		delete(a, "token")
	case kind == "application/x-www-form-urlencoded":
		v, err := url.ParseQuery(string(body))
		if err != nil {
			bad = "invalid_form_data"
		}
		take(v)
	default:
		bad = "invalid_post_type"
	}
	token = a["token"]
	if bearer, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
		token = bearer
	}
	return token, a, bad
}

func keyOf(a args) string {
	var m Metadata
	if a.json("metadata", &m) {
		key, _ := m.Payload["key"].(string)
		return key
	}
	return ""
}

// micros is a ts as a number.
func micros(ts string) int64 {
	sec, frac, _ := strings.Cut(ts, ".")
	s, _ := strconv.ParseInt(sec, 10, 64)
	f, _ := strconv.ParseInt((frac + "000000")[:6], 10, 64)
	return s*1e6 + f
}

// page cuts a page out of a list. Cursors are positions, in Slack's disguise.
func page[T any](all []T, a args, usual, most int) ([]T, string, *problem) {
	start := 0
	if c := a["cursor"]; c != "" {
		if n, err := fmt.Sscanf(c, "bmV4dDo%d", &start); n != 1 || err != nil || start > len(all) || start < 0 {
			return nil, "", fails("invalid_cursor")
		}
	}
	end := min(len(all), start+a.number("limit", usual, most))
	if end < len(all) {
		return all[start:end], fmt.Sprintf("bmV4dDo%d", end), nil
	}
	return all[start:end], "", nil
}
