package jirafake

import (
	"fmt"
	"strings"
	"unicode"
)

// query is a JQL query (support.atlassian.com/jira-software-cloud/docs/use-advanced-search-with-jql).
type query struct {
	where *clause // nil: everything
	order []sorting
}

type sorting struct {
	field string
	desc  bool
}

// clause is "and", "or", "not" of others, or a comparison.
type clause struct {
	op     string
	parts  []*clause
	field  string
	cmp    string // "=", "!=", "in", "not in", "~", "!~", "is", "is not", "<", "<=", ">", ">="
	values []operand
}

// operand is what a field is compared with.
type operand struct {
	text   string
	empty  bool // EMPTY or NULL
	called bool // a function
	args   []string
}

type token struct {
	text   string
	quoted bool
}

// reserved are characters that only strings may have.
const reserved = ";{}$%^*?/\\`@#"

// lex cuts a query into words, strings and signs.
func lex(s string) ([]token, error) {
	var tokens []token
	runes := []rune(s)
	for i := 0; i < len(runes); {
		c := runes[i]
		switch {
		case unicode.IsSpace(c):
			i++
		case c == '"' || c == '\'':
			var b strings.Builder
			for i++; ; i++ {
				if i >= len(runes) {
					return nil, complain("Error in the JQL Query: The quoted string '%s' has not been completed.", b.String())
				}
				if runes[i] == '\\' && i+1 < len(runes) {
					i++
				} else if runes[i] == c {
					break
				}
				b.WriteRune(runes[i])
			}
			i++
			tokens = append(tokens, token{b.String(), true})
		case strings.ContainsRune("(),", c):
			tokens = append(tokens, token{string(c), false})
			i++
		case strings.ContainsRune("=!<>~&|", c):
			n := i + 1
			for n < len(runes) && n < i+2 && strings.ContainsRune("=~&|", runes[n]) {
				n++
			}
			tokens = append(tokens, token{string(runes[i:n]), false})
			i = n
		default:
			n := i
			for n < len(runes) && !unicode.IsSpace(runes[n]) && !strings.ContainsRune(`(),=!<>~&|"'`, runes[n]) {
				n++
			}
			if at := strings.IndexAny(string(runes[i:n]), reserved); at >= 0 {
				return nil, complain("Error in the JQL Query: The character '%c' is a reserved JQL character. You must enclose it in a string.", string(runes[i:n])[at])
			}
			tokens = append(tokens, token{string(runes[i:n]), false})
			i = n
		}
	}
	return tokens, nil
}

// complaint is an error in Jira's words, for people.
type complaint string

func (c complaint) Error() string { return string(c) }

func complain(format string, args ...any) error { return complaint(fmt.Sprintf(format, args...)) }

type parser struct {
	tokens []token
	at     int
	depth  int
}

func parseJQL(s string) (*query, error) {
	tokens, err := lex(s)
	if err != nil {
		return nil, err
	}
	p, q := &parser{tokens: tokens}, &query{}
	if len(tokens) > 0 && !p.is("order") {
		if q.where, err = p.or(); err != nil {
			return nil, err
		}
	}
	if p.take("order") {
		if !p.take("by") {
			return nil, p.bad()
		}
		for {
			t, is := p.word()
			if !is {
				return nil, p.bad()
			}
			s := sorting{field: t.text}
			if s.desc = p.take("desc"); !s.desc {
				p.take("asc")
			}
			q.order = append(q.order, s)
			if !p.take(",") {
				break
			}
		}
	}
	if p.at < len(p.tokens) {
		return nil, p.bad()
	}
	return q, nil
}

func (p *parser) bad() error {
	if p.at >= len(p.tokens) {
		return complain("Error in the JQL Query: Unexpected end of the query.")
	}
	return complain("Error in the JQL Query: Did not expect '%s' at this place.", p.tokens[p.at].text)
}

// is looks at the next token: a sign or a keyword.
func (p *parser) is(text string) bool {
	return p.at < len(p.tokens) && !p.tokens[p.at].quoted && strings.EqualFold(p.tokens[p.at].text, text)
}

func (p *parser) take(text string) bool {
	if p.is(text) {
		p.at++
		return true
	}
	return false
}

// word takes a string or what is neither sign nor keyword.
func (p *parser) word() (token, bool) {
	if p.at >= len(p.tokens) {
		return token{}, false
	}
	t := p.tokens[p.at]
	if !t.quoted {
		switch strings.ToLower(t.text) {
		case "and", "or", "not", "in", "is", "order", "by", "(", ")", ",", "was", "changed":
			return token{}, false
		}
		if strings.ContainsAny(t.text, "=!<>~&|") {
			return token{}, false
		}
	}
	p.at++
	return t, true
}

func (p *parser) or() (*clause, error) {
	return p.chain("or", "||", "|", func() (*clause, error) { return p.chain("and", "&&", "&", p.not) })
}

func (p *parser) chain(op, sign, short string, next func() (*clause, error)) (*clause, error) {
	first, err := next()
	if err != nil {
		return nil, err
	}
	all := &clause{op: op, parts: []*clause{first}}
	for p.take(op) || p.take(sign) || p.take(short) {
		one, err := next()
		if err != nil {
			return nil, err
		}
		all.parts = append(all.parts, one)
	}
	if len(all.parts) == 1 {
		return first, nil
	}
	return all, nil
}

func (p *parser) not() (*clause, error) {
	if p.depth++; p.depth > 200 {
		return nil, complain("Error in the JQL Query: It is nested too deeply.")
	}
	defer func() { p.depth-- }()
	if p.take("not") || p.take("!") {
		c, err := p.not()
		if err != nil {
			return nil, err
		}
		return &clause{op: "not", parts: []*clause{c}}, nil
	}
	if p.take("(") {
		c, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, p.bad()
		}
		return c, nil
	}
	return p.compare()
}

func (p *parser) compare() (*clause, error) {
	t, is := p.word()
	if !is {
		return nil, p.bad()
	}
	c := &clause{field: t.text}
	switch {
	case p.take("in"):
		c.cmp = "in"
	case p.is("not"):
		p.at++
		if !p.take("in") {
			return nil, p.bad()
		}
		c.cmp = "not in"
	case p.take("is"):
		if c.cmp = "is"; p.take("not") {
			c.cmp = "is not"
		}
	case p.at < len(p.tokens) && !p.tokens[p.at].quoted && strings.Contains(" = != ~ !~ < <= > >= ", " "+p.tokens[p.at].text+" "):
		c.cmp = p.tokens[p.at].text
		p.at++
	default:
		return nil, p.bad()
	}
	if (c.cmp == "in" || c.cmp == "not in") && p.take("(") {
		for {
			v, err := p.operand()
			if err != nil {
				return nil, err
			}
			c.values = append(c.values, v)
			if p.take(")") {
				return c, nil
			}
			if !p.take(",") {
				return nil, p.bad()
			}
		}
	}
	v, err := p.operand()
	if err != nil {
		return nil, err
	}
	c.values = []operand{v}
	if (c.cmp == "in" || c.cmp == "not in") && !v.called {
		return nil, complain("Error in the JQL Query: Operator '%s' needs a list or a function.", c.cmp)
	}
	if strings.HasPrefix(c.cmp, "is") && !v.empty {
		return nil, complain("Error in the JQL Query: Operator '%s' goes with EMPTY or NULL alone.", c.cmp)
	}
	return c, nil
}

func (p *parser) operand() (operand, error) {
	t, is := p.word()
	if !is {
		return operand{}, p.bad()
	}
	if !t.quoted && (strings.EqualFold(t.text, "empty") || strings.EqualFold(t.text, "null")) {
		return operand{empty: true}, nil
	}
	v := operand{text: t.text}
	if !p.take("(") {
		return v, nil
	}
	v.called = true
	for !p.take(")") {
		a, is := p.word()
		if !is {
			return operand{}, p.bad()
		}
		v.args = append(v.args, a.text)
		if !p.take(",") && !p.is(")") {
			return operand{}, p.bad()
		}
	}
	return v, nil
}
