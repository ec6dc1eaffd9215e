package bot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// maxNear is how many words are offered for one that was misspelt.
const maxNear = 3

// nearest returns the candidates that a word was probably meant to be, the most
// likely first: few letters changed, or the word is the beginning or a part of them.
func nearest(text string, candidates []string) []string {
	text = strings.ToLower(text)
	if len(text) > 100 {
		return nil
	}
	type guess struct {
		name string
		far  int
	}
	limit := min((len(text)+2)/3, 3)
	var guesses []guess
	for _, name := range candidates {
		lower := strings.ToLower(name)
		far := limit + 1
		if diff := len(lower) - len(text); diff <= limit && -diff <= limit {
			far = levenshtein.Distance(text, lower, nil)
		}
		switch {
		case far <= limit && far < len(text):
		case len(text) >= 2 && strings.HasPrefix(lower, text):
			far = limit + 1
		case len(text) >= 3 && strings.Contains(lower, text):
			far = limit + 2
		default:
			continue
		}
		guesses = append(guesses, guess{name, far})
	}
	slices.SortFunc(guesses, func(a, b guess) int { return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.name, b.name)) })
	near := make([]string, 0, maxNear)
	for _, g := range guesses {
		// What is much further away than the best is not what was meant.
		if len(near) < maxNear && g.far <= guesses[0].far+1 {
			near = append(near, g.name)
		}
	}
	return near
}

// misspelt is the answer to a name that nothing bears: what it was probably
// meant to be, as whole lines, or else what there is.
func (c *call) misspelt(kind string, w word, known []string) *unclear {
	u := &unclear{text: fmt.Sprintf("There is no %s %q.", kind, shortened(w.text, 60))}
	near := nearest(w.text, known)
	switch {
	case len(near) > 0:
		u.text += " Did you mean " + enumerate(near, maxNear, "or") + "?"
		for _, name := range near {
			if name == "help" && w.at == c.phrase.words[0].at {
				u.try = append(u.try, name) // whatever comes after a greeting
				continue
			}
			u.try = append(u.try, c.phrase.with(w, name))
		}
	case len(known) > 0:
		u.text += fmt.Sprintf(" There is %s.", enumerate(known, 8, "and"))
	}
	return u
}
