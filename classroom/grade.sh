#!/bin/sh
# Grades every notebook of a folder. The workflow calls it for one student, a teacher for a folder of many:
#
#     sh grade.sh [FOLDER] [SCORES]          "exercises" and "scores" when not given
#
# Looked at are FOLDER/*.ipynb, FOLDER/STUDENT/*.ipynb and FOLDER/STUDENT/exercises/*.ipynb.
# For FOLDER/name.ipynb it writes SCORES/name.json, name.xml (JUnit) and name.md; SCORES/summary.txt holds all the .md.
# Every notebook is graded, whatever became of the one before. Exit status: 0 all passed; 1 some are below the pass mark;
# 2 there are no notebooks, or some could not be graded.
set -u

folder=${1:-exercises}
scores=${2:-scores}
pass_mark=${GRADE_PASS_MARK:-0.6}     # share of the points, 0 to 1
language=${GRADE_LANG:-en}            # en or vi
seconds=${GRADE_SECONDS:-60}          # for each exercise
gigabytes=${GRADE_GIGABYTES:-3}       # for each exercise
hidden=${GRADE_HIDDEN:-}              # a folder with a teacher's further checks, if any

say() {  # say ENGLISH VIETNAMESE
    if [ "$language" = vi ]; then printf '%s\n' "$2"; else printf '%s\n' "$1"; fi
}

if ! command -v minidiff >/dev/null; then
    say "minidiff is not installed here: pip install it first, as .github/workflows/grade.yml does." \
        "Máy này chưa cài minidiff: hãy cài bằng pip trước, như trong .github/workflows/grade.yml." >&2
    exit 2
fi
mkdir -p "$scores" || exit 2
: > "$scores/summary.txt" || exit 2

worst=0 graded=0 failed=0
for notebook in "$folder"/*.ipynb "$folder"/*/*.ipynb "$folder"/*/exercises/*.ipynb; do
    [ -f "$notebook" ] || continue    # a pattern that matches nothing stays as it is
    name=${notebook#"$folder"/}
    name=${name%.ipynb}
    report="$scores/$name"
    rm -f "$report.json" "$report.xml" "$report.md"    # an earlier run's

    set -- "$notebook" --json "$report.json" --junit "$report.xml" --markdown "$report.md" \
        --lang "$language" --pass-mark "$pass_mark" --seconds "$seconds" --gigabytes "$gigabytes"
    if [ -n "$hidden" ]; then set -- "$@" --hidden "$hidden"; fi
    problem=$(minidiff grade "$@" 2>&1 >/dev/null)    # what goes to stderr; the table is in the file
    status=$?
    if [ "$status" -eq 130 ]; then exit 130; fi    # Ctrl-C

    if [ ! -f "$report.md" ]; then    # not graded at all
        status=2
        mkdir -p "$(dirname "$report")"
        printf '%s\n' "$problem" > "$report.md"
    fi
    { printf '## %s\n\n' "$name"; cat "$report.md"; printf '\n'; } | tee -a "$scores/summary.txt"
    graded=$((graded + 1))
    if [ "$status" -ne 0 ]; then failed=$((failed + 1)); fi
    if [ "$status" -gt "$worst" ]; then worst=$status; fi
done

if [ "$graded" -eq 0 ]; then
    say "There are no notebooks in $folder: copy some there, as exercises/README.md shows." \
        "Không có notebook nào trong $folder: hãy chép vào đó như exercises/README.md hướng dẫn." \
        | tee -a "$scores/summary.txt" >&2
    exit 2
fi
say "$graded graded, $failed not passed; scores are in $scores." "Đã chấm $graded, $failed chưa đạt; điểm ở trong $scores."
exit "$worst"
