// Package nearest finds the word that was meant for one that was mistyped.
package nearest

import "unicode/utf8"

// Of returns the candidate that differs least from word, "" if none is near: at most two
// letters are wrong, missing, too much or exchanged, and not more than a third of them.
func Of(word string, candidates []string) string {
	most := min(2, utf8.RuneCountInString(word)/3)
	best, found := most+1, ""
	for _, c := range candidates {
		if d := distance([]rune(word), []rune(c)); d < best {
			best, found = d, c
		}
	}
	return found
}

// distance counts the changes of one letter, and the exchanges of two that stand side by
// side, which make b of a.
func distance(a, b []rune) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := range a {
		before, last, row := rows[0], rows[1], rows[2]
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		rows = [3][]int{last, row, before}
	}
	return rows[1][len(b)]
}
