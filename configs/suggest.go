package configs

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest returns the candidate that was probably meant by a word: the one with
// the fewest letters changed, or else one that begins with the word. It is ""
// when none is close; of equals it is the first in alphabetical order. A wrong
// hint sends somebody who edits a file astray, so this is stricter than the bot,
// which offers several guesses to choose from.
func nearest(word string, candidates iter.Seq[string]) string {
	if len(word) > 100 {
		return ""
	}
	limit := min((len(word)+2)/3, len(word)-1, 3)
	best, distance := "", limit+1
	whole := ""
	for candidate := range candidates {
		if len(word) >= 3 && strings.HasPrefix(candidate, word) && (whole == "" || candidate < whole) {
			whole = candidate
		}
		if diff := len(candidate) - len(word); diff > limit || -diff > limit {
			continue
		}
		d := levenshtein.Distance(strings.ToLower(word), strings.ToLower(candidate), nil) // its MaxCost gives wrong answers
		if d < distance || d == distance && best != "" && candidate < best {
			best, distance = candidate, d
		}
	}
	return cmp.Or(best, whole)
}

// didYouMean returns the hint for a word that is none of the candidates.
func didYouMean(word string, candidates iter.Seq[string]) string {
	if best := nearest(word, candidates); best != "" {
		return "did you mean " + strconv.Quote(best) + "?"
	}
	return ""
}

// oneOf returns the hint for a word that is none of a few: the nearest, or all
// of them.
func oneOf(word string, choices []string) string {
	if hint := didYouMean(word, slices.Values(choices)); hint != "" {
		return hint
	}
	last := len(choices) - 1
	if last < 1 {
		return "it can only be " + strings.Join(choices, "")
	}
	return "it can be " + strings.Join(choices[:last], ", ") + " or " + choices[last]
}

func keysOf[V any](sets ...map[string]V) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, set := range sets {
			for key := range maps.Keys(set) {
				if !yield(key) {
					return
				}
			}
		}
	}
}
