# The studio on a page that anybody may reach:
#   docker build -t minidiff . && docker run --rm -p 7860:7860 minidiff
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 minidiff
WORKDIR /home/minidiff
COPY constraints.txt .
# The build without CUDA, which is ten times as small.
RUN pip install --no-cache-dir -c constraints.txt torch --index-url https://download.pytorch.org/whl/cpu
COPY . source
RUN pip install --no-cache-dir -c constraints.txt -e "./source[app]"  # -e: the weights lie in the source
USER minidiff
EXPOSE 7860
CMD ["minidiff", "app", "--public"]
